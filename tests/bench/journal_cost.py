"""What the journal costs a step: a worker's own code over a claimed task, with nothing else."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine

from bench.figures import Figure, Said, spread
from fleet_contracts.envelope import build_envelope
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_workers.settings import Settings
from fleet_workers.store import claims
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.endings import succeeded
from fleet_workers.store.engine import open_engine
from fleet_workers.store.journal import StepKind, StoredJournal, Usage
from support.stacks import Stack, open_stack

_TASKS = 40  # a thread
_ROUNDS = 5  # plans a task, each but the last followed by one tool call
_THREADS = 16
_LEASE = timedelta(minutes=5)
_HOLDER = Holder(worker="bench", presence=1, lease=_LEASE, silence=_LEASE)
_REPLY = "The parcel of that order left the depot this morning and is on its way. " * 4
_RECORD = {"order": "ord_7", "place": "Lyon", "events": [{"at": "depot", "no": 1}] * 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Seconds of each step by kind, of everything together, and of the processor."""

    plan: list[float]
    read: list[float]
    write: list[float]
    whole: float
    processor: float

    @property
    def steps(self) -> list[float]:
        """All steps that touch the outside."""
        return self.plan + self.read + self.write


def measure() -> Iterator[Said]:
    """Journal conversations with one thread, then with many."""
    with open_stack("rabbitmq") as stack:
        engine = open_engine(
            stack.store_url.replace("postgresql://", "postgresql+psycopg://"),
            connections=Settings.model_fields["store_connections"].default,
            application="bench journal",
            ping=False,
        )
        try:
            _journal(stack, engine, 5)
            yield from _alone(stack, engine)
            yield from _together(stack, engine)
        finally:
            engine.dispose()


def _alone(stack: Stack, engine: Engine) -> Iterator[Figure]:
    timed = _journal(stack, engine, _TASKS)
    count = len(timed.steps)
    yield from spread("journal.step", timed.steps, 0.5, 0.99)
    yield Figure(name="journal.step_mean", value=timed.whole / count * 1000, unit="ms")
    yield from spread("journal.plan_step", timed.plan, 0.5)
    yield from spread("journal.read_step", timed.read, 0.5)
    yield from spread("journal.write_step", timed.write, 0.5)
    yield Figure(name="journal.processor", value=timed.processor / count * 1000, unit="ms/step")


def _together(stack: Stack, engine: Engine) -> Iterator[Figure]:
    begun = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        timed = list(pool.map(lambda _: _journal(stack, engine, _TASKS), range(_THREADS)))
    seconds = time.perf_counter() - begun
    steps = [each for one in timed for each in one.steps]
    yield from spread(f"journal.{_THREADS}_threads.step", steps, 0.5, 0.99)
    yield Figure(
        name=f"journal.{_THREADS}_threads.rate", value=len(steps) / seconds, unit="steps/s"
    )


def _journal(stack: Stack, engine: Engine, count: int) -> Timed:
    """Take tasks through their steps; what ends a task counts in the sums alone."""
    seconds: dict[str, list[float]] = {"plan": [], "read": [], "write": []}
    whole = processor = 0.0
    for _ in range(count):
        claim = _claimed(stack)
        begun, used = time.perf_counter(), time.thread_time()
        journal = StoredJournal(engine, claim)
        journal.record(StepKind.INBOUND, "inbound", {"signals": []})
        for number in range(_ROUNDS):
            seconds["plan"].append(_plan(journal, number))
            if number < _ROUNDS - 1:
                effect = "write" if number == _ROUNDS - 2 else "read"
                seconds[effect].append(_tool(journal, number, effect))
        journal.record(StepKind.CONFIDENCE, "confidence", {"score": 0.95, "reasons": []})
        outcome = Outcome(kind=OutcomeKind.ANSWERED, answer=_REPLY, confidence=0.95)
        journal.leave(succeeded(outcome, "bench@v1"))
        whole += time.perf_counter() - begun
        processor += time.thread_time() - used
    return Timed(**seconds, whole=whole, processor=processor)


def _claimed(stack: Stack) -> Claim:
    envelope = build_envelope(tenant="acme", agent="bench", input="Where is ord_7?")
    with stack.engine.begin() as connection:
        claim = claims.take_new(connection, envelope, _HOLDER, traceparent=None)
    if claim is None:
        raise ValueError(f"Task {envelope.id} cannot be claimed.")
    return claim


def _plan(journal: StoredJournal, number: int) -> float:
    begun = time.perf_counter()
    seq = journal.begin(StepKind.PLAN, "bench", {"tier": "small", "messages": 2 + 2 * number})
    call = {"id": f"call_{number}", "name": "track_parcel", "arguments": '{"order_id": "ord_7"}'}
    reply = {"text": _REPLY, "calls": [call], "finish_reason": "tool_calls", "model": "instant"}
    journal.finish(seq, reply, Usage(model="instant", tokens=110))
    return time.perf_counter() - begun


def _tool(journal: StoredJournal, number: int, effect: str) -> float:
    begun = time.perf_counter()
    request = {
        "plan": number,
        "call": 0,
        "arguments": {"order_id": "ord_7"},
        "effect": effect,
        "key": f"task:{number}:0",
    }
    seq = journal.begin(StepKind.TOOL, "track_parcel", request)
    journal.finish(seq, {"value": _RECORD})
    return time.perf_counter() - begun
