"""What traces cost a worker: next to nothing while they are off, a share while they are on."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import httpx2

from bench.figures import Figure, Remark, Said
from bench.fleet_run import AGENT, TEXT, bench_worker
from bench.instant_model import use_instant_model
from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.topology import agent_address
from fleet_workers.controller import run_traces
from fleet_workers.controller.decision import AskModel, CheckInbound
from fleet_workers.controller.reception import Delivery
from fleet_workers.controller.step_traces import traced_step
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.chat_spans import chat_span, note_reply
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.store.claims import Claim
from fleet_workers.store.memory_journal import MemoryJournal
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.telemetry.run_scope import RunScope, working_on
from fleet_workers.telemetry.trace_headers import pass_trace_on
from fleet_workers.wiring import WorkerParts
from support.otlp_receiver import otlp_receiver
from support.stacks import open_stack

_TASKS = 150  # a round and side
_ROUNDS = 4
_REPEATS = 20_000
_STEPS = 7  # of a task with two questions and one tool call, its end included


def measure() -> Iterator[Said]:
    """Time the calls that make no span, then tasks with traces off and on in turn."""
    use_instant_model()
    configure_logs("WARNING", "json")
    off_seconds = _calls_while_off()
    yield Figure(name="traces.off.calls_of_a_task", value=off_seconds * 1e6, unit="µs")
    with _worker() as parts, _receiver() as url:
        _work(parts, 20)  # the first ones open connections
        off, on = [], []
        for _ in range(_ROUNDS):
            off.append(_work(parts, _TASKS))
            with _tracing(url):
                on.append(_work(parts, _TASKS))
    yield Remark(text="processor time of a worker with a model that answers at once, in turn")
    yield Figure(name="traces.off.task", value=min(off) * 1000, unit="ms")
    yield Figure(name="traces.on.task", value=min(on) * 1000, unit="ms")
    yield Figure(name="traces.off.share", value=100 * off_seconds / min(off), unit="% of a task")
    yield Figure(name="traces.on.share", value=100 * (min(on) / min(off) - 1), unit="% of a task")


def _calls_while_off() -> float:
    """Processor time of what one task calls for its traces while there are none, in seconds."""
    envelope = build_envelope(tenant="acme", agent=AGENT, input=TEXT)
    claim = Claim(
        task_id=envelope.id, epoch=1, agent=AGENT, deliveries=1, attempts=0, traceparent=None
    )
    request = ChatRequest(messages=[], tools=[])
    reply = ChatReply(
        text="",
        tool_calls=(),
        model="instant",
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
        duration_seconds=0.0,
    )
    candidate = Candidate(endpoint="main", model="instant")
    outgoing = httpx2.Request("POST", "http://127.0.0.1/track")
    begun = time.process_time()
    for _ in range(_REPEATS):
        _one_task(claim, envelope, request, reply, candidate, outgoing)
    return (time.process_time() - begun) / _REPEATS


def _one_task(  # noqa: PLR0917 all that is handed about with a task
    claim: Claim,
    envelope: TaskEnvelope,
    request: ChatRequest,
    reply: ChatReply,
    candidate: Candidate,
    outgoing: httpx2.Request,
) -> None:
    journal = MemoryJournal()
    decisions: Sequence[AskModel | CheckInbound] = (CheckInbound(),) * _STEPS
    with working_on(RunScope(task="1", tenant="acme", words=TEXT)):
        run_traces.trace_for_new(envelope.id)
        run_traces.with_trace(None, claim)  # type: ignore[arg-type] # nothing is stored while off
        with (
            run_traces.process_span(claim, envelope, began=datetime.now(UTC)),
            run_traces.agent_span(claim, envelope, (), release="1"),
        ):
            for decision in decisions:
                with traced_step(decision, journal):
                    pass
            for _ in range(2):
                with chat_span(candidate, request, "http://127.0.0.1/v1") as span:
                    note_reply(span, reply)
            pass_trace_on(outgoing)
            traces.current().set({"fleet.task.state": "succeeded"})


@contextmanager
def _worker() -> Iterator[WorkerParts]:
    with open_stack("rabbitmq") as stack, bench_worker(stack) as parts:
        yield parts


@contextmanager
def _receiver() -> Iterator[str]:
    """A collector in a process of its own: what it does is no worker's time."""
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_receive, args=(told,), daemon=True)
    process.start()
    try:
        yield told.get(timeout=60)
    finally:
        process.kill()
        process.join()


def _receive(told: "multiprocessing.Queue[str]") -> None:
    with otlp_receiver() as collector:
        told.put(collector.url)
        time.sleep(3600)


@contextmanager
def _tracing(url: str) -> Iterator[None]:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    try:
        traces.start_traces("bench", broker_url="amqp://", environment="bench", release="0")
        yield
    finally:
        traces.stop_traces()
        del os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]


def _work(parts: WorkerParts, tasks: int) -> float:
    """Processor time of this process for each of some tasks, in seconds."""
    begun = time.process_time()
    for _ in range(tasks):
        envelope = build_envelope(tenant="acme", agent=AGENT, input=f"{TEXT} {uuid4()}")
        parts.executor.deliver(Delivery(payload=envelope.to_dict(), queue=agent_address(AGENT)))
    return (time.process_time() - begun) / tasks
