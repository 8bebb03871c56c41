"""A task's page: problems alone, runs, reviews and letters, and journals that cannot be read."""

import base64
import json
import re
from dataclasses import replace
from uuid import uuid4

import httpx2
from sqlalchemy import delete, update

from fleet_contracts.outcome import ReviewKind
from fleet_workers.store import dead_letters
from fleet_workers.store.journal import StepKind, StoredJournal
from fleet_workers.store.tables import steps
from support.desk import open_item
from support.web_server import Site, send_form

TASKS = "/console/tasks"


def test_only_what_went_wrong_is_left_where_problems_are_asked_for(site: Site) -> None:
    held = site.claimed()
    site.journal(held)
    with site.browser("viewer", "acme") as browser:
        everything = browser.get(f"{TASKS}/{held.task_id}").text
        problems = browser.get(f"{TASKS}/{held.task_id}?problems=1").text
    assert "All 4 steps" in everything
    assert "Problems only (1)" in everything
    assert len(re.findall(r'id="step-\d+"', everything)) == 4
    assert re.findall(r'id="step-(\d+)"', problems) == ["3"]
    assert "refused" in problems
    assert "Together" in problems


def test_nothing_is_wrong_where_nothing_went_wrong(site: Site) -> None:
    held = site.claimed()
    journal = StoredJournal(site.engine, held)
    journal.record(StepKind.INBOUND, "inbound", {"signals": []})
    journal.flush()
    with site.browser("viewer", "acme") as browser:
        text = browser.get(f"{TASKS}/{held.task_id}?problems=1").text
    assert "Nothing was refused, failed or doubted." in text


def test_a_takeover_and_a_retry_stand_in_the_timeline(site: Site) -> None:
    held = site.claimed()
    site.journal(held)
    journal = StoredJournal(site.engine, replace(held, is_first=False))
    failure = {"error": "The model is away.", "retry_in_seconds": 1.5}
    journal.record(StepKind.FAILURE, "unavailable", failure)
    journal.flush()
    with site.engine.begin() as connection:
        connection.execute(
            update(steps).where(steps.c.task_id == held.task_id, steps.c.seq >= 2).values(epoch=7)
        )
    with site.browser("viewer", "acme") as browser:
        text = browser.get(f"{TASKS}/{held.task_id}").text
    assert text.count("taken up again: by another worker") == 1
    assert "Run 2," in text
    assert "will be retried" in text
    assert "Next attempt after 1.5 s." in text


def test_reviews_and_dead_letters_are_a_click_away(site: Site) -> None:
    item = open_item(site, ReviewKind.APPROVAL)
    with site.engine.begin() as connection:
        letter = dead_letters.add(
            connection,
            reason="permanent",
            error="Refused.",
            body="{}",
            task_id=item.task_id,
            tenant="acme",
        )
    with site.browser("viewer", "acme") as browser:
        text = browser.get(f"{TASKS}/{item.task_id}").text
    assert f'href="/console/reviews/{item.id}"' in text
    assert "A person must decide:" in text
    assert f'href="/console/dead-letters/{letter.id}"' in text


def test_a_journal_that_cannot_be_read_is_told_and_the_rest_is_shown(site: Site) -> None:
    held = site.claimed()
    site.journal(held)
    with site.engine.begin() as connection:
        connection.execute(delete(steps).where(steps.c.task_id == held.task_id, steps.c.seq == 1))
    with site.browser("viewer", "acme") as browser:
        page = browser.get(f"{TASKS}/{held.task_id}")
    assert page.status_code == 200
    assert "The journal cannot be read." in page.text
    assert "Step 1 of task" in page.text
    assert "Where is my money?" in page.text


def test_a_task_is_found_by_its_id(site: Site) -> None:
    held = site.claimed()
    with site.browser("viewer", "acme") as browser:
        found = browser.get(TASKS, params={"find": f"  {held.task_id} "})
        assert found.url.path == f"{TASKS}/{held.task_id}"
        assert browser.get(TASKS, params={"find": str(uuid4())}).status_code == 404
        assert "is no id of a task" in browser.get(TASKS, params={"find": "<b>x</b>"}).text
        assert browser.get(TASKS, params={"find": "x" * 101}).status_code == 404
        assert browser.get(f"{TASKS}/{held.task_id}?problems=perhaps").status_code == 404
    with site.browser("viewer", "globex") as other:
        assert other.get(TASKS, params={"find": str(held.task_id)}).status_code == 404


def test_a_message_of_another_session_or_site_is_not_shown(site: Site) -> None:
    said = ["You have won.", "good", "https://evil.example", "Collect"]
    packed = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
    with site.browser("operator", "acme") as ann, site.browser("operator", "acme") as bob:
        for forged in (f"{packed}.{'0' * 64}", packed, ".", "x.y"):
            answer = shown_with(ann, f"fleet_flash={forged}")
            assert answer.status_code == 200
            assert "You have won." not in answer.text
        ann.follow_redirects = False
        told = send_form(ann, "/console/agents/pause", agent="billing", reason="own words")
        own = told.headers["set-cookie"].split(";")[0]
        assert "own words" in shown_with(ann, own).text
        assert "own words" not in shown_with(bob, own).text


def shown_with(browser: httpx2.Client, cookie: str) -> httpx2.Response:
    """A page as the session sees it that brings one more cookie."""
    kept = [
        f"{each.name}={each.value}" for each in browser.cookies.jar if each.name != "fleet_flash"
    ]
    return browser.get("/console/pools", headers={"Cookie": "; ".join([*kept, cookie])})


def test_a_task_that_is_put_off_says_when_it_starts_and_a_replaced_one_what_runs(
    site: Site,
) -> None:
    task = {"agent": "billing", "input": "x", "debounce_key": "k", "debounce_seconds": 60}
    with site.client() as client:
        replaced, last = (client.post("/v1/tasks", json=task).json()["id"] for _ in range(2))
    with site.browser("viewer", "acme") as browser:
        assert "<dt>Starts</dt>" in browser.get(f"{TASKS}/{last}").text
        assert f'href="{TASKS}/{last}"' in browser.get(f"{TASKS}/{replaced}").text
