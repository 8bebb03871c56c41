"""Reading tasks, waiting for them, cancelling them; reviews, dead letters, agents."""

import threading
import time

import httpx2
import pytest

from fleet_contracts.ids import new_task_id
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_workers.store import dead_letters, endings
from support.web_server import Site


def test_waiting_ends_when_the_task_settles(site: Site) -> None:
    held = site.claimed()

    def finish() -> None:
        time.sleep(0.4)
        outcome = Outcome(kind=OutcomeKind.ANSWERED, answer="Done.", confidence=0.9)
        with site.engine.begin() as connection:
            endings.leave(connection, held, endings.succeeded(outcome, "billing@v1-0"))

    worker = threading.Thread(target=finish)
    worker.start()
    began = time.monotonic()
    with site.client() as client:
        view = client.get(f"/v1/tasks/{held.task_id}?wait_seconds=30").json()
    worker.join()
    assert (view["state"], view["outcome"]["answer"]) == ("succeeded", "Done.")
    assert time.monotonic() - began < 5


def test_waiting_ends_when_the_time_is_up(site: Site) -> None:
    held = site.claimed()
    began = time.monotonic()
    with site.client() as client:
        view = client.get(f"/v1/tasks/{held.task_id}?wait_seconds=0.3").json()
        assert view["state"] == "running"
        assert 0.3 <= time.monotonic() - began < 3
        assert client.get(f"/v1/tasks/{held.task_id}?wait_seconds=31").status_code == 422


def test_many_who_wait_do_not_block_others(site: Site) -> None:
    held = site.claimed()
    key = site.key()
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{site.url}/v1/tasks/{held.task_id}"

    def wait() -> None:
        httpx2.get(f"{url}?wait_seconds=4", headers=headers, timeout=20)

    waiting = [threading.Thread(target=wait) for _ in range(60)]
    for thread in waiting:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    assert httpx2.get(url, headers=headers, timeout=20).status_code == 200
    assert time.monotonic() - began < 2.5
    for thread in waiting:
        thread.join()


def test_an_id_that_is_not_there_is_a_404_problem(site: Site) -> None:
    with site.client("operator") as client:
        task = client.get(f"/v1/tasks/{new_task_id()}")
        assert (task.status_code, task.json()["code"]) == (404, "unknown_task")
        review = client.get(f"/v1/reviews/{new_task_id()}")
        assert (review.status_code, review.json()["code"]) == (404, "unknown_review")
        assert client.get("/v1/tasks/no-id").json()["code"] == "invalid_input"
        assert client.get("/v1/nothing").json()["code"] == "not_found"
        assert client.put("/v1/tasks").json()["code"] == "method_not_allowed"


def test_tasks_are_listed_newest_first_and_by_state(site: Site) -> None:
    running = str(site.claimed().task_id)
    parked = str(site.parked("Not sure.").task_id)
    with site.client() as client:
        assert [each["id"] for each in client.get("/v1/tasks").json()["tasks"]] == [parked, running]
        by_state = client.get("/v1/tasks?state=running&state=queued").json()["tasks"]
        assert [each["id"] for each in by_state] == [running]
        assert len(client.get("/v1/tasks?limit=1").json()["tasks"]) == 1
        assert client.get("/v1/tasks?state=asleep").status_code == 422


def test_the_journal_tells_every_step(site: Site) -> None:
    held = site.claimed()
    site.journal(held)
    with site.client() as client:
        journal = client.get(f"/v1/tasks/{held.task_id}/journal").json()
    assert [step["kind"] for step in journal["steps"]] == ["inbound", "plan", "tool", "gate"]
    plan = journal["steps"][1]
    assert (plan["model"], plan["tokens"], plan["state"]) == ("gpt-small", 321, "done")
    assert journal["steps"][2]["result"] == {"value": {"status": "Paid."}}


def test_a_task_is_cancelled_once_and_only_while_open(site: Site) -> None:
    held = site.claimed()
    ended = site.claimed()
    outcome = Outcome(kind=OutcomeKind.ANSWERED, answer="Done.")
    with site.engine.begin() as connection:
        endings.leave(connection, ended, endings.succeeded(outcome, "billing@v1-0"))
    with site.client() as client:
        for _ in range(2):
            response = client.post(f"/v1/tasks/{held.task_id}/cancel")
            assert (response.status_code, response.json()["state"]) == (200, "cancelled")
        late = client.post(f"/v1/tasks/{ended.task_id}/cancel")
        assert (late.status_code, late.json()["code"]) == (409, "not_open")


def test_reviews_and_dead_letters_are_listed_with_their_number(site: Site) -> None:
    item = site.parked("Not sure.", packet={"request": "Hm?"})
    with site.engine.begin() as connection:
        dead_letters.add(
            connection, reason="poison", error="It broke.", body="{", tenant="acme", agent="billing"
        )
        dead_letters.add(connection, reason="malformed", error="No tenant.", body="{")
    with site.client("reviewer") as client:
        listed = client.get("/v1/reviews").json()
        assert (listed["waiting"], listed["reviews"][0]["id"]) == (1, str(item.id))
        assert client.get(f"/v1/reviews/{item.id}").json()["packet"] == {"request": "Hm?"}
        letters = client.get("/v1/dead-letters").json()
        assert (letters["unsettled"], letters["dead_letters"][0]["reason"]) == (1, "poison")
    with site.client("viewer", "*") as everyone:
        assert everyone.get("/v1/dead-letters").json()["unsettled"] == 2


def test_agents_are_listed_with_scope_and_tools(site: Site) -> None:
    with site.client() as client:
        agents = client.get("/v1/agents").json()["agents"]
    assert [agent["name"] for agent in agents] == ["billing", "onboarding", "technical_support"]
    billing = agents[0]
    assert billing["release"].startswith("billing@v")
    assert billing["handles"]
    assert billing["never"]
    assert {tool["effect"] for tool in billing["tools"]} == {"read", "write"}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_page_loads_code_from_elsewhere(site: Site, path: str) -> None:
    assert httpx2.get(site.url + path).status_code == 404
