"""A customer is erased from a fleet that has worked for them, on both stacks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import redis
from sqlalchemy import text

from fleet_client import FleetClient
from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import PermanentError
from fleet_contracts.states import TaskState
from fleet_workers.janitor.erase import erase_some
from fleet_workers.memory.session import SessionMemory
from fleet_workers.store.accounts import add_key
from fleet_workers.store.audit_chain import seal
from fleet_workers.store.audit_verify import verify
from fleet_workers.store.journal import read_steps
from fleet_workers.testing import answer, call, fail
from support.bench import Bench, publish, script, until, view
from support.leftovers import keys_with, rows_with
from support.stacks import Stack


@pytest.fixture
def admin(bench: Bench) -> Iterator[httpx2.Client]:
    with bench.fleet.stack.engine.begin() as connection:
        key = add_key(connection, tenant="acme", role="admin", label="eraser")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=bench.fleet.api_url, headers=headers, timeout=30) as client:
        yield client


class Company:
    """Somebody whose name is in all that they send, and in all that is said to them."""

    def __init__(self, bench: Bench, client: FleetClient, admin: httpx2.Client) -> None:
        self.word = f"Zephyrine{uuid4().hex[:10]}"
        self.customer = f"cus-{self.word}"
        self.last: dict[str, Any] = {}
        self._bench, self._client, self._admin = bench, client, admin

    def submit(self, *lines: Any, **more: Any) -> UUID:
        self.last = {
            "text": f"I am {self.word}. {script(self._bench, *lines)}",
            "agent": "parcels",
            "customer": self.customer,
            "session_id": f"session-{self.word}" if more.pop("in_session", False) else None,
            "data": {"name": self.word},
            "metadata": {"name": self.word},
            "idempotency_key": f"{self.word}-{uuid4().hex}",
            **more,
        }
        return UUID(str(self._client.submit(**self.last).id))

    def submit_again(self) -> UUID:
        """The last task with the same key and content, as a producer does that lost the answer."""
        return UUID(str(self._client.submit(**self.last).id))

    def ends_as(self, task_id: UUID, state: TaskState) -> UUID:
        until(
            lambda: (found := view(self._bench.fleet.stack, task_id)) and found.state is state,
            what=f"the end of a task as {state}",
        )
        return task_id

    def use_everything(self) -> dict[str, UUID]:
        """One task of every fate, with the name wherever a customer's words can come."""
        note = call("note_damage", order_id="ord_7", text=f"{self.word}'s vase")
        done = self.submit(note, answer(f"Noted, {self.word}."), in_session=True)
        refund = call("refund_order", order_id="ord_7", amount_usd="60")
        asked = self.submit(refund, answer(f"{self.word}, it is done."))
        dead = self.submit(fail(PermanentError(f"broke for {self.word}"), times=9))
        self.ends_as(done, TaskState.SUCCEEDED)
        self.ends_as(asked, TaskState.IN_REVIEW)
        self.ends_as(dead, TaskState.DEAD)
        self._decide(asked, "reject", reason=f"{self.word} has two already.", end=True)
        self.ends_as(asked, TaskState.REJECTED)
        said = self._admin.post(
            f"/v1/tasks/{done}/feedback",
            json={"rating": "bad", "comment": f"{self.word} is cross.", "flag": True},
        )
        assert said.status_code < 300, said.text
        broken = build_envelope(tenant="acme", agent="parcels", input=self.word).to_dict()
        publish(
            self._bench.fleet.stack,
            [[{**broken, "customer": self.customer, "colour": "red"}], {}, {}],
            serializer="json",
            headers={"id": str(uuid4()), "task": "agent.parcels", "lang": "py"},
        )
        return {"done": done, "asked": asked, "dead": dead}

    def _decide(self, task_id: UUID, ruling: str, **body: Any) -> None:
        waiting = self._admin.get("/v1/reviews", params={"limit": 200}).json()["reviews"]
        (review,) = [each["id"] for each in waiting if each["task_id"] == str(task_id)]
        decided = self._admin.post(f"/v1/reviews/{review}/{ruling}", json=body)
        assert decided.status_code < 300, decided.text


@contextmanager
def company(bench: Bench, admin: httpx2.Client) -> Iterator[Company]:
    with bench.fleet.client() as client:
        yield Company(bench, client, admin)


def finish(stack: Stack, erasure_id: UUID) -> None:
    """Work at a request as the janitor of the fleet does beside us, and wait for no cut task."""
    with redis.Redis.from_url(stack.redis_url) as client:
        forget = SessionMemory(client).forget
        deadline = time.monotonic() + 20
        while not is_done(stack, erasure_id):
            assert time.monotonic() < deadline
            erase_some(stack.engine, forget, only=erasure_id, cut_off=timedelta(0))


def is_done(stack: Stack, erasure_id: UUID) -> bool:
    with stack.engine.connect() as connection:
        query = text("SELECT finished_at IS NOT NULL FROM erasures WHERE id = :id")
        return bool(connection.execute(query, {"id": erasure_id}).scalar_one())


def journal(stack: Stack, task_id: UUID) -> list[Any]:
    with stack.engine.connect() as connection:
        return read_steps(connection, task_id)


def test_nothing_of_an_erased_customer_is_left_and_all_else_is(
    bench: Bench, stack: Stack, admin: httpx2.Client
) -> None:
    with company(bench, admin) as gone, company(bench, admin) as stays:
        tasks = gone.use_everything()
        others = stays.use_everything()
        refund = call("refund_order", order_id="ord_7", amount_usd="70")
        waiting = gone.ends_as(gone.submit(refund), TaskState.IN_REVIEW)
        until(
            lambda: "dead_letters" in rows_with_no_task(stack, gone.word), what="the broken message"
        )
        before = rows_with(stack.engine, gone.word)
        assert {"tasks", "steps", "reviews", "feedback", "dead_letters", "labels"} <= set(before)
        assert keys_with(stack.redis_url, gone.word)
        journals = {each: journal(stack, each) for each in others.values()}
        of_others = rows_with(stack.engine, stays.word)

        # What is open is a conflict, until it may be cancelled.
        asked = {"customer": gone.customer}
        refused = admin.post("/v1/erasures", json=asked)
        assert (refused.status_code, refused.json()["code"]) == (409, "open_tasks")
        accepted = admin.post("/v1/erasures", json={**asked, "cancel_open": True})
        assert accepted.status_code == 202, accepted.text
        again = admin.post("/v1/erasures", json={**asked, "cancel_open": True})
        assert again.json()["id"] == accepted.json()["id"]
        erasure_id = UUID(accepted.json()["id"])
        finish(stack, erasure_id)

        assert rows_with(stack.engine, gone.word) == {}
        assert keys_with(stack.redis_url, gone.word) == []
        assert rows_with(stack.engine, stays.word) == of_others
        assert {each: journal(stack, each) for each in others.values()} == journals

        # The tasks are still known, without a word, and a repeat is still a repeat.
        for name, state in (("done", "succeeded"), ("asked", "rejected"), ("dead", "dead")):
            found = admin.get(f"/v1/tasks/{tasks[name]}").json()
            assert (found["state"], found["customer"], found["metadata"]) == (state, None, {})
            assert found["outcome"]["answer"] is None
        assert admin.get(f"/v1/tasks/{waiting}").json()["state"] == "cancelled"
        assert gone.submit_again() == waiting
        receipt = admin.get(f"/v1/erasures/{erasure_id}").json()
        assert receipt["finished_at"]
        assert receipt["erased"]["tasks"] == 4
        assert receipt["erased"]["cancelled"] == 1
        assert gone.word not in str(receipt)
        with stack.engine.begin() as connection:
            while seal(connection, limit=1000):
                pass
            found = verify(connection, sealed_within=timedelta(hours=1))
        assert found.faults == []


def rows_with_no_task(stack: Stack, word: str) -> dict[str, int]:
    with stack.engine.connect() as connection:
        query = text("SELECT count(*) FROM dead_letters WHERE task_id IS NULL AND body LIKE :like")
        number = connection.execute(query, {"like": f"%{word}%"}).scalar_one()
    return {"dead_letters": number} if number else {}
