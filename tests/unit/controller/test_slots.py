"""No task waits while a slot is free, however arrivals, looks and endings fall together."""

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock, Thread
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import Unavailable
from fleet_workers.controller import slots
from fleet_workers.controller.execution import Executor
from fleet_workers.controller.reception import Delivery
from fleet_workers.controller.shares import Shares
from fleet_workers.controller.slots import Slots
from fleet_workers.controller.turns import Idle, Taken
from fleet_workers.store.claims import Claim


@dataclass
class Store:
    """Stands for store and executor: tasks in a line, and pauses where threads may change over."""

    shares: Shares
    seed: int
    running: int = 0
    most: int = 0
    looks: int = 0
    is_away: bool = False

    def __post_init__(self) -> None:
        self.waiting: deque[TaskEnvelope] = deque()
        self.done: list[UUID] = []
        self._lock = Lock()
        self._random = random.Random(self.seed)  # noqa: S311 no secret
        self.reception = SimpleNamespace(read=self._read, take_in=self._take_in)

    def deliver(self, delivery: Delivery) -> bool:
        self._take_in([self._read(delivery)])
        found = self.take_next()
        if isinstance(found, Idle):
            return found is not Idle.EMPTY
        self.run(found)
        return True

    def take_next(self) -> Taken | Idle:
        if self.is_away:
            raise Unavailable("It is away.")
        self.pause()
        standing = self.shares.standing()
        with self._lock:
            self.looks += 1
            found = self._next(standing.fewer_than)
        if found is None:
            self.pause()
            return Idle.EMPTY if standing.fewer_than is None else Idle.FOR_NOW
        self.shares.begin(found.tenant)
        self.pause()
        claim = Claim(
            task_id=found.id, epoch=1, agent="a", deliveries=1, attempts=0, traceparent=None
        )
        return Taken(claim=claim, envelope=found, since=0.0)

    def run(self, taken: Taken) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.pause()
        with self._lock:
            self.running -= 1
            self.done.append(taken.envelope.id)
        self.shares.end(taken.envelope.tenant, "a")

    def pause(self) -> None:
        if self._random.random() < 0.5:
            time.sleep(self._random.random() * 0.0005)

    def _next(self, fewer_than: int | None) -> TaskEnvelope | None:
        for each in self.waiting:
            if fewer_than is None or self.shares.may_begin(each.tenant):
                self.waiting.remove(each)
                return each
        return None

    def _read(self, delivery: Delivery) -> Any:
        return SimpleNamespace(envelope=delivery.payload)

    def _take_in(self, arrivals: list[Any]) -> None:
        self.pause()
        with self._lock:
            self.waiting.extend(each.envelope for each in arrivals)
        self.pause()


class Threads:
    """Starts each job in a thread, as a pool with enough of them does."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for _ in range(12):
            Thread(target=self._work, daemon=True).start()

    def start(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            self._jobs.get()()


@pytest.fixture(scope="module")
def threads() -> Threads:
    return Threads()


def delivery(tenant: str) -> Delivery:
    envelope = build_envelope(tenant=tenant, agent="a", input=str(uuid4()))
    return Delivery(payload=envelope, queue="agent.a")


@pytest.mark.parametrize(
    ("number", "headroom", "messages_each", "rounds"),
    [(1, 0, 3, 500), (3, 0, 20, 100), (3, 1, 20, 100)],
)
def test_nothing_is_left_behind_without_anybody_who_looks(
    threads: Threads, number: int, headroom: int, messages_each: int, rounds: int
) -> None:
    for seed in range(rounds):
        store = Store(Shares(slots=number, headroom=headroom), seed)
        found = Slots(cast("Executor", store), number=number, start=threads.start, draining=Event())
        messages = [delivery("ab"[(seed + each * each) % 5 % 2]) for each in range(messages_each)]

        def send(share: list[Delivery], slots: Slots = found) -> None:
            for each in share:
                if slots.expect(cast("TaskEnvelope", each.payload).tenant):
                    threads.start(partial(slots.deliver, each))
                else:
                    slots.take_in([each])

        senders = [Thread(target=send, args=(messages[place::2],)) for place in range(2)]
        for each in senders:
            each.start()
        for each in senders:
            each.join()
        deadline = time.monotonic() + 10
        while len(store.done) < len(messages):
            assert time.monotonic() < deadline, f"{len(store.waiting)} left with seed {seed}"
            time.sleep(0.0005)
        assert store.most <= number
        assert len(set(store.done)) == len(messages)


def test_a_process_that_starts_finds_what_waits_and_fills_all_slots(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(Shares(slots=8), 1)
    hold = threading.Semaphore(0)
    monkeypatch.setattr(store, "pause", lambda: None)
    store.waiting.extend(cast("TaskEnvelope", delivery("a").payload) for _ in range(20))
    draining = Event()
    really_run = store.run

    def run(taken: Taken) -> None:
        store.most += 1
        hold.acquire()
        really_run(taken)

    monkeypatch.setattr(store, "run", run)
    found = Slots(cast("Executor", store), number=8, start=threads.start, draining=draining)
    found.look_out()
    deadline = time.monotonic() + 5
    while store.most < 8:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert not found.expect("a")
    draining.set()
    hold.release(20)
    deadline = time.monotonic() + 5
    while len(store.done) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    # A process that drains takes nothing more
    assert len(store.waiting) == 12


def test_an_idle_process_looks_seldom_and_goes_on_after_the_store_was_away(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_LOOK_SECONDS", 0.01)
    store = Store(Shares(slots=2), 1, is_away=True)
    store.waiting.append(cast("TaskEnvelope", delivery("a").payload))
    draining = Event()
    found = Slots(cast("Executor", store), number=2, start=threads.start, draining=draining)
    found.look_out()
    time.sleep(0.05)
    store.is_away = False
    deadline = time.monotonic() + 5
    while not store.done:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    draining.set()
    while not found.expect("a"):  # each look gave its slot back
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_pool_that_is_closed_costs_no_slot() -> None:
    def closed(_job: object) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    store = Store(Shares(slots=1), 1)
    found = Slots(cast("Executor", store), number=1, start=closed, draining=Event())
    found.take_in([delivery("a")])
    assert found.expect("a")
