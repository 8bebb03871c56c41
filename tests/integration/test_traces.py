"""One unbroken trace a task, from the service that asks to the system that a tool asks."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select

from fleet_contracts.states import TaskState
from fleet_workers.store import tables
from fleet_workers.testing import answer, call
from support.bench import until
from support.otlp_receiver import TakenSpan, assert_whole, drawn, until_traced
from support.stacks import Stack, open_stack
from support.traced_fleet import DOOMED, TRACED, TracedFleet, open_traced_fleet

pytestmark = pytest.mark.timeout(240)  # its fixture starts two fleets and a service

TRACK = call("track_parcel", order_id="ord_7")
TELL = answer("It is in Lyon.")


@pytest.fixture(scope="module", params=["embedded", "rabbitmq"])
def traced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TracedFleet]:
    """On a store of its own: another fleet's janitor would take lost tasks, and trace nothing."""
    folder = tmp_path_factory.mktemp(f"traced_{request.param}")
    with open_stack(request.param) as stack, open_traced_fleet(stack, folder) as opened:
        yield opened


REFUND = call("refund_order", order_id="ord_8", amount_usd="60")


@dataclass(frozen=True, kw_only=True)
class Produced:
    """Tasks of a service with traces of its own, and what the first one asked."""

    over_broker: str
    over_http: str
    to_review: str
    text: str


@pytest.fixture(scope="module")
def produced(traced: TracedFleet) -> Produced:
    text = traced.script(TRACK, TELL)
    ids = traced.produce(
        {"text": text, "agent": TRACED, "over_broker": True},
        {"text": traced.script(TRACK, TELL), "agent": TRACED, "over_broker": False},
        {
            "text": traced.script(REFUND, answer("Refunded.")),
            "agent": TRACED,
            "over_broker": True,
            "customer": "cus_1",
        },
    )
    return Produced(over_broker=ids[0], over_http=ids[1], to_review=ids[2], text=text)


def _named(spans: list[TakenSpan], name: str) -> list[TakenSpan]:
    return [each for each in spans if each.name == name]


def _one(spans: list[TakenSpan], name: str) -> TakenSpan:
    found = _named(spans, name)
    assert len(found) == 1, f"{len(found)} of {name} in\n{drawn(spans)}"
    return found[0]


def _path(spans: list[TakenSpan], span: TakenSpan) -> list[str]:
    """Its name, and those of what it stands under up to the root."""
    by_id = {each.id: each for each in spans}
    names = [span.name]
    while span.parent:
        span = by_id[span.parent]
        names.append(span.name)
    return names


def _has_runs(number: int, agent: str = TRACED) -> Any:
    return lambda spans: len(_named(spans, f"process agent.{agent}")) >= number


def test_a_trace_leads_from_the_service_over_the_broker_to_model_and_tool(
    traced: TracedFleet, produced: Produced
) -> None:
    task_id = produced.over_broker
    spans = until_traced(traced.collector, task_id, _has_runs(1))

    assert assert_whole(spans).name == "checkout"
    chat = _named(spans, "chat scripted")[0]
    assert _path(spans, chat) == [
        "chat scripted",
        "plan",
        f"invoke_agent {TRACED}",
        f"process agent.{TRACED}",
        f"send agent.{TRACED}",
        "checkout",
    ]
    tool = _one(spans, "execute_tool track_parcel")
    assert _path(spans, tool)[1:3] == [f"invoke_agent {TRACED}", f"process agent.{TRACED}"]
    assert [each.kind for each in (_one(spans, f"send agent.{TRACED}"), chat)] == [
        "producer",
        "client",
    ]
    _check_attributes(spans, task_id)
    # The tool's own request goes on under the span of its call.
    heard = [each.split("-") for each in traced.shop.traces["ord_7"]]
    assert [tool.trace, tool.id] in [each[1:3] for each in heard]
    # Nothing of what was asked or answered is in any span.
    sent = b"".join(traced.collector.raw)
    assert produced.text.encode() not in sent
    assert b"Where is" not in sent
    assert b"Lyon" not in sent


def _check_attributes(spans: list[TakenSpan], task_id: str) -> None:
    system = _one(spans, f"send agent.{TRACED}").attributes["messaging.system"]
    process = _one(spans, f"process agent.{TRACED}")
    assert process.kind == "consumer"
    assert process.service == "fleet-worker"
    assert (
        process.attributes.items()
        >= {
            "messaging.system": system,
            "messaging.operation.type": "process",
            "messaging.destination.name": f"agent.{TRACED}",
            "messaging.message.id": task_id,
            "fleet.tenant": "acme",
            "fleet.epoch": 1,
        }.items()
    )
    agent = _one(spans, f"invoke_agent {TRACED}")
    assert agent.attributes["gen_ai.agent.name"] == TRACED
    assert agent.attributes["fleet.outcome"] == "answered"
    assert agent.attributes["fleet.task.state"] == "succeeded"
    assert {name for name, _ in agent.events} >= {"fleet.inbound", "fleet.confidence"}
    chat = _named(spans, "chat scripted")[0]
    assert (
        chat.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "scripted",
            "server.address": "127.0.0.1",
        }.items()
    )
    assert chat.attributes["gen_ai.usage.input_tokens"] == 0  # a script counts none
    assert chat.attributes["gen_ai.response.finish_reasons"]
    tool = _one(spans, "execute_tool track_parcel")
    assert tool.attributes["gen_ai.tool.name"] == "track_parcel"
    assert tool.attributes["fleet.tool.outcome"] == "value"
    assert ("fleet.gate", "pass") in [
        (name, told.get("fleet.ruling")) for name, told in tool.events
    ]


def test_a_trace_goes_on_over_http(traced: TracedFleet, produced: Produced) -> None:
    spans = until_traced(traced.collector, produced.over_http, _has_runs(1))
    assert assert_whole(spans).name == "checkout"
    process = _one(spans, f"process agent.{TRACED}")
    assert _path(spans, process) == [
        f"process agent.{TRACED}",
        f"send agent.{TRACED}",
        "POST /v1/tasks",
        "POST /v1/tasks",
        "checkout",
    ]
    server = next(each for each in _named(spans, "POST /v1/tasks") if each.kind == "server")
    assert (server.service, server.attributes["http.response.status_code"]) == ("fleet-web", 202)


def test_a_task_that_comes_without_a_trace_begins_one(traced: TracedFleet) -> None:
    with traced.fleet.client() as client:
        task = client.submit(traced.script(TRACK, TELL), agent=TRACED)
        task.wait(timeout=30)
    spans = until_traced(traced.collector, task.id, _has_runs(1))
    assert assert_whole(spans).name == f"process agent.{TRACED}"


def test_after_a_review_the_same_trace_goes_on(traced: TracedFleet, produced: Produced) -> None:
    task_id = produced.to_review
    headers = {"Authorization": f"Bearer {traced.fleet.stack.api_key}"}
    with httpx2.Client(base_url=traced.fleet.api_url, headers=headers, timeout=20) as http:
        review = until(lambda: _review_of(http, task_id), what="the review")
        approved = http.post(f"/v1/reviews/{review}/approve", json={})
        assert approved.status_code < 300, approved.text
    spans = until_traced(traced.collector, task_id, _has_runs(2))
    assert assert_whole(spans).name == "checkout"
    first, second = sorted(
        _named(spans, f"invoke_agent {TRACED}"), key=lambda each: each.attributes["fleet.epoch"]
    )
    assert second.links == [first.id]
    assert second.attributes["fleet.link.reason"] == "review"
    assert first.attributes["fleet.review.kind"] == "approval"
    waited = _one(spans, "review approval")
    assert waited.attributes["fleet.review.ruling"] == "approve"
    assert _one(spans, "execute_tool refund_order").attributes["fleet.tool.outcome"] == "value"


def _review_of(http: httpx2.Client, task_id: str) -> str | None:
    found = http.get("/v1/reviews").json()
    items = found["reviews"] if isinstance(found, dict) else found
    return next((str(each["id"]) for each in items if each["task_id"] == task_id), None)


def _worker_of(stack: Stack, task_id: UUID) -> str:
    """The process id of the worker that holds a task."""
    with stack.engine.connect() as connection:
        query = select(tables.tasks.c.worker).where(tables.tasks.c.id == task_id)
        return str(connection.execute(query).scalar()).rpartition(":")[2]


def test_after_a_workers_death_the_same_trace_goes_on(traced: TracedFleet) -> None:
    lines = (call("track_parcel", order_id="ord_91"), TELL)
    both = [traced.fleet.start_worker(DOOMED) for _ in range(2)]
    traced.fleet.wait_ready()
    traced.shop.hold_reads("ord_91")
    try:
        with traced.fleet.client() as client:
            tasks = [client.submit(traced.script(*lines), agent=DOOMED).id for _ in range(4)]
            until(lambda: traced.shop.asked.get(("track", "ord_91")) == 4, what="the calls")
            # What was done before is sent; what is under way dies with the worker.
            for each in tasks:
                until_traced(
                    traced.collector, each, lambda spans: bool(_named(spans, "chat scripted"))
                )
            busy = _worker_of(traced.fleet.stack, tasks[0])
            held = [each for each in tasks if _worker_of(traced.fleet.stack, each) == busy]
            victim = next(each for each in both if str(each.process.pid) == busy)
            victim.kill()
            traced.shop.release("ord_91")
            for each in tasks:
                assert client.wait(each, timeout=40).state is TaskState.SUCCEEDED
        lost = [
            until_traced(
                traced.collector,
                each,
                lambda spans: (
                    bool(_ended_runs(spans)) and len(_named(spans, f"process agent.{DOOMED}")) > 1
                ),
            )
            for each in held
        ]
    finally:
        for each in both:
            each.stop()
    for spans in lost:
        assert assert_whole(spans).name == f"process agent.{DOOMED}"
        runs = sorted(
            _named(spans, f"invoke_agent {DOOMED}"), key=lambda each: each.attributes["fleet.epoch"]
        )
        assert [each.error for each in runs] == ["worker_lost", ""]
        assert runs[1].links == [runs[0].id]
        tool = _one(spans, "execute_tool track_parcel")
        assert _path(spans, tool)[1] == f"invoke_agent {DOOMED}"


def _ended_runs(spans: list[TakenSpan]) -> list[TakenSpan]:
    done = {each.parent for each in spans if each.attributes.get("fleet.task.state") == "succeeded"}
    return [each for each in spans if each.id in done]


def test_a_collector_that_hangs_delays_no_task(traced: TracedFleet) -> None:
    answers, ended = traced.collector.answer, threading.Event()

    def hang() -> int:
        ended.wait(60)
        return 200

    traced.collector.answer = hang
    try:
        with traced.fleet.client() as client:
            tasks = [client.submit(traced.script(TRACK, TELL), agent=TRACED) for _ in range(20)]
            for task in tasks:
                assert task.wait(timeout=40).state is TaskState.SUCCEEDED
    finally:
        traced.collector.answer = answers
        ended.set()


def test_every_line_of_a_slot_tells_whose_it_is_and_no_line_what_was_asked(
    traced: TracedFleet,
) -> None:
    secret = "my iban is DE89 3704 0044 0532 0130 00, write to ada@example.com"
    text = f"{traced.script(TRACK, TELL)} {secret}"
    key = text[text.index("[") + 1 : text.index("]")]
    with traced.fleet.client() as client:
        task = client.submit(f"{secret} [{key}]", agent=TRACED)
        task.wait(timeout=30)
    spans = until_traced(traced.collector, task.id, _has_runs(1))
    lines = [json.loads(line) for line in traced.worker.log.read_text().splitlines() if line]
    own = [each for each in lines if each.get("task") == str(task.id)]
    ended = next(each for each in own if each["event"] == "task.succeeded")
    assert ended.items() >= {"tenant": "acme", "agent": TRACED, "epoch": 1}.items()
    assert ended["trace_id"] == spans[0].trace
    assert ended["span_id"] in {each.id for each in spans}
    assert ended["step_kind"] == "gate" or ended["step"] > 0
    told = traced.worker.log.read_text()
    for words in ("DE89", "ada@example.com", "my iban", "Where is ord_7"):
        assert words not in told
