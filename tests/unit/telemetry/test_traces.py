import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import ConfigurationError, LeaseLost, Unavailable
from fleet_workers.controller import run_traces
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.chat_spans import chat_span, note_reply, provider_of
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.rails.personal_data import mask_text
from fleet_workers.store.claims import Claim
from fleet_workers.store.run_traces import LostRun
from fleet_workers.telemetry import redaction, traces
from fleet_workers.telemetry.span_scrubber import scrubbed
from fleet_workers.telemetry.trace_context import parse_traceparent
from fleet_workers.telemetry.trace_export import LiveTracing, _Ids
from fleet_workers.telemetry.traces import NO_SPAN, start_traces

NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Spans of this process, kept in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=_Ids(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    live = LiveTracing(provider, messaging_system="rabbitmq", captures_content=False)
    monkeypatch.setattr(traces, "_live", live)
    monkeypatch.setattr(redaction, "_mask", mask_text)
    yield exporter
    provider.shutdown()


def _ended(made: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {each.name: each for each in made.get_finished_spans()}


def _claim(epoch: int = 1, trace: str | None = TRACE) -> Claim:
    return Claim(
        task_id=uuid4(), epoch=epoch, agent="billing", deliveries=1, attempts=0, traceparent=trace
    )


def test_without_an_endpoint_nothing_is_made_and_no_exporter_loaded() -> None:
    program = (
        "import sys\n"
        "from fleet_workers.settings import Settings\n"
        "from fleet_workers.telemetry.process import start_telemetry\n"
        "from fleet_workers.telemetry import traces\n"
        "import fleet_workers.worker.pool\n"
        "start_telemetry(Settings(), 'worker', mask=str)\n"
        "assert traces.span('plan') is traces.NO_SPAN\n"
        "parts = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "loaded = [name for name in sys.modules if name.startswith(parts)]\n"
        "assert not loaded, loaded\n"
        "assert 'sentry_sdk' not in sys.modules\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run((sys.executable, "-c", program), env=clean, check=True, timeout=60)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_traces_stay_off(monkeypatch: pytest.MonkeyPatch, told: dict[str, str]) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert start_traces("worker", broker_url="amqp://", environment="", release="") is None
    assert traces.span("plan") is NO_SPAN


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "give a URL like"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            "http/protobuf",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "zipkin"},
            "zipkin",
        ),
    ],
)
def test_what_cannot_be_sent_to_is_told(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], words: str
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=words):
        start_traces("worker", broker_url="amqp://", environment="", release="")


def test_errors_are_told_by_code_and_what_is_put_off_is_none(made: InMemorySpanExporter) -> None:
    for name, error in (("away", Unavailable("secret")), ("lost", LeaseLost("secret"))):
        with pytest.raises(type(error)), traces.span(name):
            raise error
    with pytest.raises(ZeroDivisionError), traces.span("broken"):
        _ = 1 // 0
    ended = _ended(made)
    assert ended["away"].attributes == {"error.type": "unavailable"}
    assert ended["broken"].attributes == {"error.type": "ZeroDivisionError"}
    assert ended["lost"].attributes == {"fleet.interrupted_by": "lease_lost"}
    assert [ended[each].status.status_code for each in ("away", "broken", "lost")] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert not any(each.events or each.status.description for each in ended.values())


def test_a_run_stands_under_its_tasks_trace_and_a_later_one_finds_its_id(
    made: InMemorySpanExporter,
) -> None:
    claim = _claim()
    envelope = build_envelope(tenant="acme", agent="billing", input="x", id=claim.task_id)
    lost = LostRun(
        task_id=claim.task_id,
        tenant="acme",
        agent="billing",
        epoch=1,
        traceparent=TRACE,
        began=NOW,
    )
    run_traces.tell_lost_runs([lost])
    told = _ended(made)
    made.clear()
    with (
        run_traces.process_span(claim, envelope, began=NOW),
        run_traces.agent_span(claim, envelope, (), release="r1"),
    ):
        pass
    lived = _ended(made)
    for name in ("process agent.billing", "invoke_agent billing"):
        assert told[name].context.span_id == lived[name].context.span_id
        assert told[name].context.trace_id == lived[name].context.trace_id == _id_of(TRACE)
    assert told["invoke_agent billing"].status.status_code is StatusCode.ERROR
    parent = lived["process agent.billing"].parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == TRACE.split("-")[2]


def test_a_task_without_a_trace_begins_one_at_its_first_run(made: InMemorySpanExporter) -> None:
    task_id = uuid4()
    trace = run_traces.trace_for_new(task_id)
    claim = Claim(
        task_id=task_id, epoch=1, agent="billing", deliveries=1, attempts=0, traceparent=trace
    )
    envelope = build_envelope(tenant="acme", agent="billing", input="x", id=task_id)
    with run_traces.process_span(claim, envelope, began=NOW) as span:
        assert span.traceparent == trace
    assert _ended(made)["process agent.billing"].parent is None


def test_what_a_sampler_leaves_out_stays_out(made: InMemorySpanExporter) -> None:
    claim = _claim(trace=TRACE[:-1] + "0")
    envelope = build_envelope(tenant="acme", agent="billing", input="x", id=claim.task_id)
    with run_traces.process_span(claim, envelope, began=NOW), traces.span("plan"):
        pass
    assert not made.get_finished_spans()


def test_content_is_recorded_where_it_is_asked_for_and_masked(made: InMemorySpanExporter) -> None:
    request = ChatRequest(messages=[{"role": "user", "content": "I am ada@example.com"}], tools=[])
    reply = ChatReply(
        text="Dear ada@example.com",
        tool_calls=(),
        model="m-2026",
        finish_reason="stop",
        prompt_tokens=7,
        completion_tokens=3,
        duration_seconds=0.1,
    )
    live = traces.live()
    assert live is not None
    for captures in (False, True):
        live.captures_content = captures
        with chat_span(Candidate(endpoint="main", model="m"), request, "http://h:1/v1") as span:
            note_reply(span, reply)
    silent, spoken = (dict(each.attributes or {}) for each in made.get_finished_spans())
    assert not [name for name in silent if "messages" in name]
    assert silent["gen_ai.usage.input_tokens"] == 7
    assert "<EMAIL_1>" in str(spoken["gen_ai.input.messages"])
    assert "<EMAIL_1>" in str(spoken["gen_ai.output.messages"])
    assert "ada@" not in str(spoken)


@pytest.mark.parametrize(
    ("model", "host", "provider"),
    [
        ("gpt-5", "api.openai.com", "openai"),
        ("gpt-5", "fleet.openai.azure.com", "azure.ai.openai"),
        ("m", "api.mistral.ai", "mistral_ai"),
        ("m", "notmistral.ai", "openai"),
        ("offline-1", "127.0.0.1", "agent_fleet"),
    ],
)
def test_who_serves_a_model(model: str, host: str, provider: str) -> None:
    assert provider_of(model, host) == provider


def test_what_libraries_note_of_errors_and_queries_is_not_sent(
    made: InMemorySpanExporter,
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracer = provider.get_tracer("library")
    with (
        pytest.raises(ValueError, match="ada@"),
        tracer.start_as_current_span("call", attributes={"url.query": "q=ada@example.com"}),
    ):
        int("ada@example.com")
    span = scrubbed(_ended(made)["call"])
    assert span.events[0].attributes is not None
    assert "ada@" not in span.to_json()
    assert span.events[0].attributes["exception.type"] == "ValueError"
    assert span.status.status_code is StatusCode.ERROR


class _Hanging(SpanExporter):
    def __init__(self) -> None:
        self.ended = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 the SDK's
        self.ended.wait(60)
        return SpanExportResult.FAILURE


def test_a_collector_that_hangs_holds_up_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = _Hanging(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1))
    live = LiveTracing(provider, messaging_system="rabbitmq", captures_content=False)
    monkeypatch.setattr(traces, "_live", live)
    begun = time.monotonic()
    for _ in range(5000):  # more than are kept until they are sent
        with traces.span("plan"):
            pass
    traces.stop_traces(within_seconds=0.2)
    assert time.monotonic() - begun < 30
    exporter.ended.set()


def _id_of(trace: str) -> int:
    found = parse_traceparent(trace)
    assert found is not None
    return found.trace_id
