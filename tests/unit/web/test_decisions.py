"""Deciding reviews over HTTP: once, by the right people, with what the kind allows."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from support.web_server import Site


def test_an_approved_draft_is_the_answer(site: Site) -> None:
    item = site.parked("not sure", packet={"proposal": {"answer": "It is in Lyon."}})
    with site.client("reviewer") as client:
        done = client.post(f"/v1/reviews/{item.id}/approve")
        assert (done.status_code, done.json()["state"]) == (200, "resumed")
        assert done.json()["decided_by"] == "acme reviewer"
        task = client.get(f"/v1/tasks/{item.task_id}").json()
        steps = client.get(f"/v1/tasks/{item.task_id}/journal").json()["steps"]
    assert (task["state"], task["outcome"]["answer"]) == ("succeeded", "It is in Lyon.")
    assert (steps[-1]["kind"], steps[-1]["result"]["ruling"]) == ("review", "approve")


def test_a_refused_draft_ends_the_task_with_the_reason(site: Site) -> None:
    item = site.parked("not sure", packet={"proposal": {"answer": "In Lyon."}})
    with site.client("reviewer") as client:
        assert client.post(f"/v1/reviews/{item.id}/reject", json={}).status_code == 422
        client.post(f"/v1/reviews/{item.id}/reject", json={"reason": "It is in Paris."})
        task = client.get(f"/v1/tasks/{item.task_id}").json()
    assert (task["state"], task["outcome"]["reason"]) == ("rejected", "It is in Paris.")


def test_a_person_answers_in_the_agents_place(site: Site) -> None:
    item = site.parked("not sure")
    with site.client("reviewer") as client:
        client.post(f"/v1/reviews/{item.id}/answer", json={"answer": "Tomorrow."})
        task = client.get(f"/v1/tasks/{item.task_id}").json()
    assert (task["state"], task["outcome"]["answer"]) == ("succeeded", "Tomorrow.")


def test_of_two_reviewers_one_decides_and_the_other_is_told(site: Site) -> None:
    item = site.parked("not sure")
    with site.client("reviewer") as client, ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: client.post(
                    f"/v1/reviews/{item.id}/answer", json={"answer": f"Answer {number}."}
                ),
                range(8),
            )
        )
    assert sorted(each.status_code for each in answers) == [200] + [409] * 7
    told = next(each.json() for each in answers if each.status_code == 409)
    assert told["code"] == "already_decided"
    assert "acme reviewer" in told["detail"]


@pytest.mark.parametrize(("role", "tenant", "status"), [
    ("viewer", "acme", 403), ("producer", "acme", 403), ("reviewer", "globex", 404),
])  # fmt: skip
def test_others_may_not_decide(site: Site, role: str, tenant: str, status: int) -> None:
    item = site.parked("not sure")
    with site.client(role, tenant) as client:
        answer = client.post(f"/v1/reviews/{item.id}/answer", json={"answer": "x"})
        assert answer.status_code == status
    with site.client("reviewer") as client:
        assert client.post(f"/v1/reviews/{uuid4()}/approve").status_code == 404
