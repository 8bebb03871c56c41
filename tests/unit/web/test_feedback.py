"""Feedback about finished tasks: by key, by signed link, and what becomes of a complaint."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Row, delete, func, select, update

from fleet_client import FleetClient
from fleet_contracts.errors import Conflict, InvalidInput, UnknownTask
from fleet_contracts.outcome import ReviewKind
from fleet_workers.resilience.windows import Windows
from fleet_workers.review.afterwards import settle_afterwards
from fleet_workers.review.binding import Ruling
from fleet_workers.review.feedback_links import KEY_NAME, FeedbackLink, sign_link
from fleet_workers.store import reviews
from fleet_workers.store.desk_tables import feedback, labels, signing_keys
from fleet_workers.store.signing_keys import signing_key
from fleet_workers.store.tables import tasks
from support.ended_tasks import Ended, write_ended
from support.web_server import Site

GOOD = {"rating": "good"}
BAD = {"rating": "bad", "comment": "That is not my invoice."}


@pytest.fixture(autouse=True)
def _no_tries_before(site: Site) -> None:
    site.resources.limits._own = Windows()


def finished(site: Site, **fields: Any) -> Ended:
    task = Ended(**fields)
    write_ended(site.engine, [task])
    return task


def rows(site: Site) -> list[Row[Any]]:
    with site.engine.connect() as connection:
        return list(connection.execute(select(feedback).order_by(feedback.c.created_at)))


def flagged(site: Site) -> list[reviews.ReviewItem]:
    with site.engine.connect() as connection:
        ids = connection.execute(select(feedback.c.task_id).distinct()).scalars().all()
        found = [item for each in ids for item in reviews.of_task(connection, each)]
    return [item for item in found if item.kind is ReviewKind.FLAGGED]


def link_to(site: Site, task: Ended, **query: Any) -> str:
    with site.client() as client:
        answer = client.post(f"/v1/tasks/{task.id}/feedback-link", params=query)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"])


def test_a_good_word_is_kept_and_bothers_nobody(site: Site) -> None:
    task = finished(site)
    with site.client() as client:
        answer = client.post(f"/v1/tasks/{task.id}/feedback", json={**GOOD, "comment": " Fine! "})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["task_id"], body["rating"], body["comment"]) == (str(task.id), "good", "Fine!")
    assert body["review_id"] is None
    (row,) = rows(site)
    assert (row.tenant, row.agent, row.release) == ("acme", "billing", "billing@v1-0")
    assert (row.source, row.flagged) == ("api", False)
    assert flagged(site) == []
    assert site.published == []


@pytest.mark.parametrize("body", [BAD, {"flag": True}, {"rating": "good", "flag": True}])
def test_a_complaint_is_put_before_a_person(site: Site, body: dict[str, Any]) -> None:
    task = finished(site, words="Where is invoice 7?", confidence=0.91)
    with site.client() as client:
        answer = client.post(f"/v1/tasks/{task.id}/feedback", json=body)
    (item,) = flagged(site)
    assert answer.json()["review_id"] == str(item.id)
    assert (item.task_id, item.tenant, item.state) == (task.id, "acme", "waiting")
    assert item.packet["request"] == "Where is invoice 7?"
    assert item.packet["proposal"]["answer"] == "It is on its way."
    assert item.packet["feedback"][0]["comment"] == body.get("comment", "")
    assert [letter.message.routing_key for letter in site.published] == ["human.review"]


def test_a_bad_rating_alone_is_counted_only(site: Site) -> None:
    task = finished(site)
    with site.client() as client:
        client.post(f"/v1/tasks/{task.id}/feedback", json={"rating": "bad"})
    assert flagged(site) == []
    assert rows(site)[0].rating == "bad"


def test_one_complaint_at_a_time_and_later_ones_are_added_to_it(site: Site) -> None:
    task = finished(site)
    with site.client() as client:
        first = client.post(f"/v1/tasks/{task.id}/feedback", json=BAD).json()
        again = client.post(f"/v1/tasks/{task.id}/feedback", json=BAD).json()
        more = client.post(
            f"/v1/tasks/{task.id}/feedback", json={"rating": "bad", "comment": "And rude."}
        ).json()
    assert first["review_id"] == again["review_id"] == more["review_id"]
    (item,) = flagged(site)
    assert [each["comment"] for each in item.packet["feedback"]] == [
        "That is not my invoice.",
        "And rude.",
    ]
    assert len(rows(site)) == 1
    assert rows(site)[0].comment == "And rude."


def test_a_decided_complaint_changes_no_task_and_is_a_label(site: Site) -> None:
    task = finished(site, confidence=0.91)
    with site.client() as client:
        client.post(f"/v1/tasks/{task.id}/feedback", json=BAD)
        (item,) = flagged(site)
        with site.engine.begin() as connection:
            before = connection.execute(select(tasks)).one()
            decided = reviews.record_decision(connection, item.id, {}, decided_by="ann")
            assert settle_afterwards(connection, decided, Ruling.REJECT, "Wrong invoice.") == []
            assert connection.execute(select(tasks)).one() == before
            label = connection.execute(select(labels)).one()
        assert (label.review_id, label.kind, label.right) == (item.id, "flagged", False)
        assert (label.confidence, label.stratum) == (0.91, None)
        # What was said is looked into; saying it again opens nothing, something new does.
        client.post(f"/v1/tasks/{task.id}/feedback", json=BAD)
        assert len(flagged(site)) == 1
        client.post(f"/v1/tasks/{task.id}/feedback", json={**BAD, "comment": "Still wrong."})
    assert [each.state for each in flagged(site)] == ["resumed", "waiting"]


def test_many_complaints_at_once_open_one_review(site: Site) -> None:
    task = finished(site)
    url = link_to(site, task)

    def complain(number: int) -> int:
        if number % 2:
            data = {"rating": "bad", "comment": f"no {number}"}
            return httpx2.post(url, data=data, timeout=30).status_code
        with httpx2.Client(base_url=site.url, headers=headers, timeout=30) as client:
            body = {"rating": "bad", "comment": f"no {number}"}
            return client.post(f"/v1/tasks/{task.id}/feedback", json=body).status_code

    headers = {"Authorization": f"Bearer {site.key()}"}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(complain, range(16)))
    assert set(statuses) == {200, 201}
    assert len(flagged(site)) == 1
    assert len(site.published) == 1
    assert sorted(row.source for row in rows(site)) == ["api", "link"]
    assert {row.review_id for row in rows(site)} == {flagged(site)[0].id}


def test_another_tenants_task_is_as_unknown_as_none(site: Site) -> None:
    task = finished(site, tenant="globex")
    with site.client() as client:
        for what in ("feedback", "feedback-link"):
            answers = [
                client.post(f"/v1/tasks/{each}/{what}", json=GOOD) for each in (task.id, uuid4())
            ]
            assert [each.status_code for each in answers] == [404, 404]
            texts = {re.sub(r"[0-9a-f-]{36}", "", each.text) for each in answers}
            assert len(texts) == 1
    assert rows(site) == []


def test_a_task_that_goes_on_cannot_be_judged_yet(site: Site) -> None:
    waiting = site.accepted("acme")
    with site.client() as client:
        for what in ("feedback", "feedback-link"):
            answer = client.post(f"/v1/tasks/{waiting}/{what}", json=GOOD)
            assert answer.status_code == 409
            assert answer.json()["code"] == "not_finished"
            assert answer.json()["detail"].startswith("The task is queued: ")


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_may_not_submit_may_not_judge(site: Site, role: str) -> None:
    task = finished(site)
    with site.client(role) as client:
        for what in ("feedback", "feedback-link"):
            assert client.post(f"/v1/tasks/{task.id}/{what}", json=GOOD).status_code == 403
    assert httpx2.post(f"{site.url}/v1/tasks/{task.id}/feedback", json=GOOD).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b"{}", 422),
        (b'{"rating": null}', 422),
        (b'{"rating": "great"}', 422),
        (b'{"rating": "good", "flag": "maybe"}', 422),
        (b'{"rating": "good", "tenant": "globex"}', 422),
        (b'{"comment": 7}', 422),
        (b'{"comment": "   "}', 422),
        (b'{"comment": "' + b"x" * 2001 + b'"}', 422),
        (b'{"comment": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_what_says_nothing_is_refused(site: Site, body: bytes, status: int) -> None:
    task = finished(site)
    with site.client() as client:
        answer = client.post(f"/v1/tasks/{task.id}/feedback", content=body)
    assert answer.status_code == status
    assert rows(site) == []


def test_any_text_can_be_said(site: Site) -> None:
    task = finished(site)
    comment = "NUL \x00, <script>, {{ 7 * 7 }}, \u202e, " + "\U0001f600" * 50
    with site.client() as client:
        path = f"/v1/tasks/{task.id}/feedback"
        answer = client.post(path, json={"rating": "bad", "comment": comment})
        assert answer.status_code == 201
        # Half a character is no text
        assert client.post(path, content=b'{"comment": "\\ud83d"}').status_code == 422
    assert rows(site)[0].comment == comment.replace("\x00", "\u2400")


def test_a_customer_judges_by_a_link_without_a_key(site: Site) -> None:
    task = finished(site, words="My name is Ann and my card is 4111 1111 1111 1111")
    url = link_to(site, task)
    with httpx2.Client() as browser:
        form = browser.get(url)
        assert form.status_code == 200
        assert form.headers["x-robots-tag"] == "noindex, nofollow"
        assert form.headers["content-security-policy"].startswith("default-src 'none'")
        assert form.headers["cache-control"] == "no-store"
        for secret in ("Ann", "4111", "on its way", "billing", "acme", str(task.id), 'console"'):
            assert secret not in form.text
        assert f"{datetime.now(UTC):%B %Y}" in form.text
        data = {"rating": "bad", "comment": "First\r\nSecond"}
        thanks = browser.post(url, data=data, headers={"Origin": "null"})
    assert thanks.status_code == 200
    assert "Thank you" in thanks.text
    (row,) = rows(site)
    assert (row.source, row.comment, row.tenant) == ("link", "First\nSecond", "acme")
    assert len(flagged(site)) == 1


def test_the_latest_of_a_link_replaces_the_former(site: Site) -> None:
    url = link_to(site, finished(site))
    for rating in ("good", "bad", "good"):
        assert httpx2.post(url, data={"rating": rating}).status_code == 200
    (row,) = rows(site)
    assert row.rating == "good"


def test_a_form_without_a_choice_is_shown_again(site: Site) -> None:
    url = link_to(site, finished(site))
    answer = httpx2.post(url, data={"comment": "Hm."})
    assert "Choose one of the two first" in answer.text
    assert httpx2.post(url, data={"rating": "best"}).status_code == 422
    assert httpx2.post(url, data={"rating": "bad", "comment": "x" * 2001}).status_code == 422
    assert httpx2.post(url, content=b"rating=good%00&comment=%ff").status_code == 422
    assert httpx2.post(url, content=b"x" * 70_000).status_code == 413
    assert rows(site) == []
    assert httpx2.post(url, data={"flag": "yes"}).status_code == 200


def test_a_wrong_or_old_link_leads_to_a_plain_page(site: Site) -> None:
    task = finished(site)
    url = link_to(site, task)
    token = url.rpartition("/")[2]
    with site.engine.begin() as connection:
        key = signing_key(connection, KEY_NAME)
    old = FeedbackLink(task_id=task.id, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    gone = FeedbackLink(task_id=uuid4(), expires_at=datetime.now(UTC) + timedelta(days=1))
    forged = FeedbackLink(task_id=task.id, expires_at=datetime.now(UTC) + timedelta(days=1))
    for each in (
        sign_link(old, key=key),
        sign_link(gone, key=key),
        sign_link(forged, key=b"x" * 32),
        token[:-1],
        token.swapcase(),
        "x" * 5000,
    ):
        for method in ("GET", "POST"):
            answer = httpx2.request(method, f"{site.url}/feedback/{each}", data=GOOD)
            assert answer.status_code == 404, each
            assert "This link leads nowhere" in answer.text
    assert rows(site) == []
    # A key that was deleted makes all links void
    with site.engine.begin() as connection:
        connection.execute(delete(signing_keys))
    assert httpx2.get(url).status_code == 404


def test_a_link_works_as_long_as_was_asked_for(site: Site) -> None:
    task = finished(site)
    with site.client() as client:
        path = f"/v1/tasks/{task.id}/feedback-link"
        for days in (1, 365):
            until = datetime.fromisoformat(
                client.post(path, params={"days": days}).json()["expires_at"]
            )
            assert until - datetime.now(UTC) == pytest.approx(
                timedelta(days=days), abs=timedelta(seconds=60)
            )
        for days in (0, 366, "x"):
            assert client.post(path, params={"days": days}).status_code == 422


def test_an_address_that_tries_too_often_has_to_wait(site: Site) -> None:
    statuses = [httpx2.get(f"{site.url}/feedback/wrong").status_code for _ in range(35)]
    assert 429 in statuses
    refused = httpx2.get(f"{site.url}/feedback/wrong")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert "wait" in refused.text


def test_a_revived_task_goes_on_and_cannot_be_judged(site: Site) -> None:
    task = finished(site, state="dead", kind="dead")
    url = link_to(site, task)
    with site.engine.begin() as connection:
        connection.execute(update(tasks).values(state="queued", finished_at=None))
    assert httpx2.get(url).status_code == 404
    assert httpx2.post(url, data=GOOD).status_code == 404
    with site.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(feedback)).scalar() == 0


def test_the_client_says_it_in_one_call(site: Site) -> None:
    task = finished(site)
    with FleetClient(api_url=site.url, api_key=site.key()) as client:
        said = client.give_feedback(task.id, "bad", "Not mine.")
        assert (said.review_id, said.comment) == (flagged(site)[0].id, "Not mine.")
        assert httpx2.get(client.feedback_link(task.id, days=3)).status_code == 200
        with pytest.raises(UnknownTask):
            client.give_feedback(uuid4(), "good")
        with pytest.raises(InvalidInput):
            client.give_feedback(task.id)
        with pytest.raises(Conflict, match="once it has ended"):
            client.give_feedback(site.accepted("acme"), "good")
