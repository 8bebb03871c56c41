"""Dead letters in the console: found by cause, replayed by forms, and only by operators."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import httpx2
import pytest

from fleet_contracts.states import TaskState
from fleet_workers.controller.ports import Ports
from fleet_workers.store import dead_letters, replays, views
from fleet_workers.store.dead_letters import DeadLetter, DeadLetterFilter
from fleet_workers.testing import ScriptedModel, answer
from fleet_workers.testing.tools import FakeTools
from fleet_workers.web import create_app
from support.asgi_server import serving
from support.graveyard import Graveyard
from support.web_server import Site, send_form

LETTERS = "/console/dead-letters"


def buried(
    site: Site,
    error: str = "It cannot be reached.",
    *,
    tenant: str = "acme",
    agent: str = "billing",
) -> DeadLetter:
    """A dead task with its letter."""
    graveyard = Graveyard(engine=site.engine, catalogue=site.resources.catalogue)
    return graveyard.dead(error=error, tenant=tenant, agent=agent)


def state_of(site: Site, task_id: UUID | None) -> TaskState:
    assert task_id is not None
    with site.engine.begin() as connection:
        view = views.view(connection, task_id, tenant=None)
    assert view is not None
    return view.state


def unsettled(site: Site) -> int:
    with site.engine.begin() as connection:
        return dead_letters.count_unsettled(connection)


def test_letters_are_grouped_by_cause_and_filtered(site: Site) -> None:
    for number in range(3):
        buried(site, f"The shop at 10.0.0.{number} cannot be reached.")
    buried(site, "No such model.", agent="onboarding")
    buried(site, "Not ours.", tenant="globex")
    with site.browser("viewer", "acme") as browser:
        text = browser.get(LETTERS).text
        assert re.search(r'data-label="Letters" class="number"><b>3</b>', text)
        assert "Not ours." not in text
        cause = re.search(r'href="(/console/dead-letters\?cause=[^"]+)"', text)
        assert cause is not None
        only = browser.get(cause[1].replace("&amp;", "&")).text
        assert "10.0.0.2" in only
        assert "No such model." not in only
        assert "No such model." in browser.get(LETTERS, params={"agent": "onboarding"}).text
        assert "10.0.0.1" in browser.get(LETTERS, params={"error": "cannot BE"}).text
        none = browser.get(LETTERS, params={"error": "\0%_", "agent": "x" * 600}).text
        assert "None that fits." in none
        assert browser.get(LETTERS, params={"tenant": "globex"}).status_code == 403
    with site.browser("viewer", "*") as browser:
        assert "10.0.0.1" not in browser.get(LETTERS, params={"tenant": "globex"}).text


def test_older_letters_stand_on_the_next_page(site: Site) -> None:
    with site.engine.begin() as connection:
        for number in range(52):
            dead_letters.add(
                connection, reason="permanent", error=f"e{number:03}.", body="b", tenant="acme"
            )
    with site.browser("viewer", "acme") as browser:
        first = browser.get(LETTERS).text
        assert "e002." in first
        assert "e001." not in first
        link = re.search(r'rel="next" href="([^"]+)"', first)
        assert link is not None
        second = browser.get(link[1].replace("&amp;", "&")).text
        assert "e001." in second
        assert "e002." not in second
        assert 'rel="next"' not in second
        assert browser.get(LETTERS, params={"before": "x"}).status_code == 404


def test_one_letter_is_replayed_once(site: Site) -> None:
    letter = buried(site)
    with site.browser("operator", "acme") as browser:
        done = send_form(browser, f"{LETTERS}/{letter.id}/replay")
        assert "Replayed: the task is queued again" in done.text
        assert f"/console/tasks/{letter.task_id}" in done.text
        assert "Replay</button>" not in done.text
        again = send_form(browser, f"{LETTERS}/{letter.id}/replay")
        assert "Not replayed." in again.text
        assert "acme operator" in again.text
    assert state_of(site, letter.task_id) is TaskState.QUEUED
    assert len(site.published) == 1


def test_a_letter_is_discarded_with_a_reason(site: Site) -> None:
    letter = buried(site)
    with site.browser("operator", "acme") as browser:
        refused = send_form(browser, f"{LETTERS}/{letter.id}/discard", reason="  ")
        assert "Say why" in refused.text
        assert unsettled(site) == 1
        done = send_form(browser, f"{LETTERS}/{letter.id}/discard", reason="A test order")
        assert "Discarded." in done.text
        assert "A test order" in done.text
    assert unsettled(site) == 0
    assert state_of(site, letter.task_id) is TaskState.DEAD


def test_many_are_replayed_as_a_job_whose_progress_is_shown(site: Site) -> None:
    for _ in range(4):
        buried(site)
    buried(site, agent="onboarding")
    buried(site, tenant="globex")
    with site.browser("operator", "acme") as browser:
        done = send_form(browser, f"{LETTERS}/replay", agent="billing", rate="2.5")
        assert "Replay of 4 dead letters" in done.text
        assert "0 of 4" in done.text
        assert "2.5 a second" in done.text
        again = send_form(browser, f"{LETTERS}/replay", agent="billing", rate="2.5")
        assert again.url == done.url
        assert "is under way" in browser.get(LETTERS).text
    with site.engine.begin() as connection:
        (job,) = replays.newest(connection, tenant="acme", limit=5)
    assert job.filter == DeadLetterFilter(tenant="acme", agent="billing")
    with site.browser("viewer", "globex") as other:
        assert other.get(f"/console/replays/{job.id}").status_code == 404
        assert "is under way" not in other.get(LETTERS).text


@pytest.mark.parametrize("rate", ["", "0", "-1", "nan", "inf", "5000", "fast", "1e999"])
def test_a_rate_that_makes_no_sense_replays_nothing(site: Site, rate: str) -> None:
    buried(site)
    with site.browser("operator", "acme") as browser:
        assert "Nothing was replayed" in send_form(browser, f"{LETTERS}/replay", rate=rate).text
    assert site.count("replays") == 0


def test_only_operators_act_and_only_on_their_own(site: Site) -> None:
    letter = buried(site)
    forms = (f"{LETTERS}/{letter.id}/replay", f"{LETTERS}/{letter.id}/discard", f"{LETTERS}/replay")
    for role in ("viewer", "reviewer"):
        with site.browser(role, "acme") as browser:
            for path in (*forms, f"{LETTERS}/dry-run", f"{LETTERS}/{letter.id}/dry-run"):
                assert send_form(browser, path, reason="x", rate="5").status_code == 403
            shown = browser.get(f"{LETTERS}/{letter.id}").text + browser.get(LETTERS).text
            assert '<button type="submit">Replay' not in shown
    with site.browser("operator", "globex") as other:
        assert other.get(f"{LETTERS}/{letter.id}").status_code == 404
        assert other.get(f"{LETTERS}/{uuid4()}").status_code == 404
        assert "No dead letter" in send_form(other, forms[0]).text
        assert "No dead letter" in send_form(other, forms[1], reason="x").text
        assert "Replay of 0" in send_form(other, forms[2], rate="5").text
        refused = send_form(other, forms[2], rate="5", tenant="acme")
        assert refused.status_code == 403
    with httpx2.Client(base_url=site.url) as stranger:
        assert stranger.post(forms[0]).status_code in {303, 403}
    assert unsettled(site) == 1
    assert state_of(site, letter.task_id) is TaskState.DEAD


def test_a_dry_run_tells_what_would_come_of_it_and_does_nothing(site: Site) -> None:
    letters = [buried(site), buried(site)]
    hostile = "<b>All is well.</b>"

    @contextmanager
    def open_ports() -> Iterator[Ports]:
        yield Ports(
            model=ScriptedModel([answer(hostile)]),
            tools=FakeTools({}),
            recall=lambda _: [],
            model_timeout_seconds=5,
        )

    key = site.key("operator", "acme")
    app = create_app(replace(site.resources, open_ports=open_ports))
    with serving(app) as url, httpx2.Client(base_url=url, follow_redirects=True) as browser:
        browser.post("/console/sign-in", data={"key": key})
        one = send_form(browser, f"{LETTERS}/{letters[0].id}/dry-run").text
        many = send_form(browser, f"{LETTERS}/dry-run", from_start="yes").text
    assert "&lt;b&gt;All is well.&lt;/b&gt;" in one
    assert "on the record" in one
    assert many.count("Would end as") == 2
    assert "from the start" in many
    assert unsettled(site) == 2
    assert state_of(site, letters[0].task_id) is TaskState.DEAD
    assert site.count("outbox") == 0


def test_without_a_model_a_dry_run_says_what_is_missing(site: Site) -> None:
    buried(site)
    with site.browser("operator", "acme") as browser:
        refused = send_form(browser, f"{LETTERS}/dry-run")
        assert refused.status_code == 501
        assert "without a model" in refused.text


def test_a_job_that_nobody_works_on_says_so(site: Site) -> None:
    buried(site)
    with site.engine.begin() as connection:
        job = replays.request(connection, DeadLetterFilter(), per_second=1, by="ann")
        table = replays.replays
        connection.execute(table.update().values(next_at=table.c.next_at - timedelta(seconds=60)))
    with site.browser("viewer", "*") as browser:
        assert "is a janitor up?" in browser.get(f"/console/replays/{job.id}").text
