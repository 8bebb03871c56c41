"""The review desk over HTTP: the queue, claims, edits, questions and who takes over."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text

from fleet_workers.store import review_queue, reviews
from fleet_workers.store.reviews import ReviewItem
from support.web_server import Site

REFUND = {
    "tool": "refund_payment",
    "arguments": {"payment_id": "pay_7", "amount_usd": "150.00", "reason": "double charge"},
    "plan": 1,
    "call": 0,
}


def proposed(site: Site, proposal: dict[str, Any] | None = None, **packet: Any) -> ReviewItem:
    """An approval that waits."""
    content = {"request": "r", "customer": "cus_7", "proposal": proposal or REFUND, **packet}
    item = site.parked("over the limit", packet=content)
    with site.engine.begin() as connection:
        connection.execute(
            text("UPDATE reviews SET kind = 'approval', customer = 'cus_7' WHERE id = :id"),
            {"id": item.id},
        )
    return item


def task_of(client: httpx2.Client, item: ReviewItem) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/tasks/{item.task_id}").json()
    return found


def test_the_queue_is_listed_in_pages_without_packets(site: Site) -> None:
    ids = [str(site.parked(f"reason {number}").id) for number in range(5)]
    site.parked("another's", tenant="globex")
    with site.client("reviewer") as client:
        seen: list[str] = []
        after = ""
        for _ in range(4):
            found = client.get("/v1/reviews", params={"limit": 2, "after": after}).json()
            assert found["waiting"] == 5
            assert all("packet" not in each for each in found["reviews"])
            seen += [each["id"] for each in found["reviews"]]
            if found["next"] is None:
                break
            after = found["next"]
        assert sorted(seen) == sorted(ids)
        assert client.get("/v1/reviews", params={"agent": "onboarding"}).json()["waiting"] == 0
        assert client.get("/v1/reviews", params={"overdue": True}).json()["reviews"] == []


@pytest.mark.parametrize("after", ["x", "WzFd", "\x00", "WyJhIiwgImIiLCAiYyJd", "é"])
def test_a_cursor_that_is_none_is_refused(site: Site, after: str) -> None:
    with site.client("reviewer") as client:
        refused = client.get("/v1/reviews", params={"after": after})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")


def test_a_claim_is_ones_own_until_given_back(site: Site) -> None:
    item = site.parked("not sure")
    with site.client("reviewer") as ann, site.client("operator") as bob:
        claimed = ann.post(f"/v1/reviews/{item.id}/claim", json={"minutes": 30}).json()
        assert claimed["claimed_by"] == "acme reviewer"
        told = bob.post(f"/v1/reviews/{item.id}/claim")
        assert (told.status_code, told.json()["code"]) == (409, "already_claimed")
        assert "acme reviewer works on this" in told.json()["detail"]
        assert bob.post(f"/v1/reviews/{item.id}/release").status_code == 409
        assert bob.post(f"/v1/reviews/{item.id}/answer", json={"answer": "x"}).status_code == 409
        assert [each["id"] for each in ann.get("/v1/reviews?mine=true").json()["reviews"]] == [
            str(item.id)
        ]
        assert bob.get("/v1/reviews?mine=true").json()["reviews"] == []
        assert ann.post(f"/v1/reviews/{item.id}/release").json()["claimed_by"] is None
        assert bob.post(f"/v1/reviews/{item.id}/answer", json={"answer": "x"}).status_code == 200
        assert ann.post(f"/v1/reviews/{item.id}/claim").status_code == 409


@pytest.mark.parametrize("minutes", [0, -1, 481, 10**12, "x"])
def test_a_claim_lasts_a_working_day_at_most(site: Site, minutes: object) -> None:
    item = site.parked("not sure")
    with site.client("reviewer") as client:
        refused = client.post(f"/v1/reviews/{item.id}/claim", json={"minutes": minutes})
    assert refused.status_code == 422


def test_an_edited_action_is_bound_to_the_persons_arguments(site: Site) -> None:
    item = proposed(site)
    changed = {**REFUND["arguments"], "amount_usd": "40.00"}  # type: ignore[dict-item]
    with site.client("reviewer") as client:
        done = client.post(f"/v1/reviews/{item.id}/edit", json={"arguments": changed})
        assert (done.status_code, done.json()["state"]) == (200, "resumed")
        assert done.json()["packet"]["proposal"]["planned_arguments"]["amount_usd"] == "150.00"
        assert task_of(client, item)["state"] == "queued"
        steps = client.get(f"/v1/tasks/{item.task_id}/journal").json()["steps"]
    assert steps[-1]["result"]["arguments"]["amount_usd"] == "40.00"
    assert steps[-1]["result"]["ruling"] == "approve"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount_usd": "-5"}, "Arguments of refund_payment not accepted"),
        ({"amount_usd": "a lot"}, "Arguments of refund_payment not accepted"),
        ({"extra": 1}, "Arguments of refund_payment not accepted"),
    ],
)
def test_arguments_that_the_tool_does_not_take_change_nothing(
    site: Site, change: dict[str, Any], said: str
) -> None:
    item = proposed(site)
    changed = {**REFUND["arguments"], **change}  # type: ignore[dict-item]
    with site.client("reviewer") as client:
        refused = client.post(f"/v1/reviews/{item.id}/edit", json={"arguments": changed})
        assert refused.status_code == 422
        assert said in refused.json()["detail"]
        assert client.get(f"/v1/reviews/{item.id}").json()["state"] == "waiting"


def test_an_edited_answer_is_what_the_customer_is_told(site: Site) -> None:
    item = site.parked("not sure", packet={"proposal": {"answer": "In Lyon.", "plan": 1}})
    with site.client("reviewer") as client:
        for body in ({}, {"answer": "a", "arguments": {}}, {"arguments": {}}, {"answer": " "}):
            refused = client.post(f"/v1/reviews/{item.id}/edit", json=body)
            assert refused.status_code == 422, body
        client.post(f"/v1/reviews/{item.id}/edit", json={"answer": "In Paris."})
        assert task_of(client, item)["outcome"]["answer"] == "In Paris."


def test_a_question_goes_to_the_customer(site: Site) -> None:
    item = site.parked("not sure")
    with site.client("reviewer") as client:
        client.post(f"/v1/reviews/{item.id}/ask", json={"question": "Which order?"})
        outcome = task_of(client, item)["outcome"]
    assert (outcome["kind"], outcome["answer"]) == ("asked", "Which order?")


def test_a_refused_draft_goes_back_to_the_agent_or_ends(site: Site) -> None:
    draft = {"proposal": {"answer": "In Lyon.", "plan": 1}}
    back, ended = site.parked("a", packet=draft), site.parked("b", packet=draft)
    with site.client("reviewer") as client:
        client.post(f"/v1/reviews/{back.id}/reject", json={"reason": "Look again."})
        client.post(f"/v1/reviews/{ended.id}/reject", json={"reason": "No.", "end": True})
        assert task_of(client, back)["state"] == "queued"
        assert task_of(client, ended)["state"] == "rejected"


def test_another_agent_a_person_or_a_group_takes_over(site: Site) -> None:
    item = site.parked("not sure")
    with site.client("reviewer") as client:
        path = f"/v1/reviews/{item.id}/reassign"
        for body in (
            {"reason": "r"},
            {"reason": "r", "agent": "onboarding", "group": "leads"},
            {"reason": "r", "person": "ann", "group": "leads"},
            {"reason": "r", "agent": "billing"},
            {"reason": "r", "agent": "nobody"},
        ):
            assert client.post(path, json=body).status_code == 422, body
        # A group first: the item waits on, and tells why
        given = client.post(path, json={"reason": "A tax question.", "group": "leads"})
        assert (given.status_code, given.content) == (204, b"")
        waits = client.get(f"/v1/reviews/{item.id}").json()
        assert (waits["state"], waits["group"]) == ("waiting", "leads")
        assert waits["packet"]["notes"] == [
            {"by": "acme reviewer", "to": "leads", "note": "A tax question."}
        ]
        # Then an agent: the task goes on with that one
        client.post(path, json={"reason": "It is about setting up.", "agent": "onboarding"})
        assert task_of(client, item)["agent"] == "onboarding"
        assert task_of(client, item)["state"] == "queued"


@pytest.mark.parametrize("action", [
    ("claim", None), ("release", None), ("edit", {"answer": "a"}), ("ask", {"question": "q"}),
    ("reassign", {"reason": "r", "group": "g"}),
    ("reassign", {"reason": "r", "agent": "onboarding"}),
    ("reject", {"reason": "r"}), ("approve", None),
])  # fmt: skip
def test_another_tenants_items_are_not_there(site: Site, action: tuple[str, Any]) -> None:
    item = site.parked("not sure", packet={"proposal": {"answer": "a", "plan": 1}})
    verb, body = action
    with site.client("operator", "globex") as client:
        for review_id in (item.id, uuid4()):
            answer = client.post(f"/v1/reviews/{review_id}/{verb}", json=body)
            assert answer.status_code == 404, answer.text
    with site.client("viewer") as client:
        assert client.post(f"/v1/reviews/{item.id}/{verb}", json=body).status_code == 403
        assert client.get(f"/v1/reviews/{item.id}").json()["state"] == "waiting"


def test_what_a_person_answers_stands_in_the_session(site: Site) -> None:
    kept: list[tuple[UUID, str]] = []
    object.__setattr__(
        site.resources, "remember", lambda envelope, said, _: kept.append((envelope.id, said))
    )
    item = site.parked("not sure")
    with site.client("reviewer") as client:
        client.post(f"/v1/reviews/{item.id}/answer", json={"answer": "Tomorrow."})
    assert kept == [(item.task_id, "Tomorrow.")]


def test_a_claim_that_is_over_holds_nobody_back(site: Site) -> None:
    item = site.parked("not sure")
    with site.engine.begin() as connection:
        review_queue.claim(connection, item.id, tenant=None, by="gone", lasts=timedelta(seconds=-1))
        found = reviews.get(connection, item.id, tenant=None)
        assert found is not None
        assert found.claimed_by is None
    with site.client("reviewer") as client:
        assert client.post(f"/v1/reviews/{item.id}/claim").status_code == 200
