import subprocess
import sys
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fleet_client import tracing
from fleet_client.steps import HttpRequest
from fleet_contracts.codec import valid_traceparent
from fleet_contracts.envelope import build_envelope

ENVELOPE = build_envelope(tenant="acme", agent="billing", input="Why?")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Spans of a service whose OpenTelemetry the client finds."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    api = SimpleNamespace(
        get_tracer=provider.get_tracer,
        get_current_span=trace.get_current_span,
        SpanKind=trace.SpanKind,
    )
    monkeypatch.setattr(tracing, "_api", lambda: api)
    return exporter


def test_a_service_without_opentelemetry_loads_none_of_it() -> None:
    program = (
        "import sys\n"
        "import fleet_client.broker, fleet_client.http_wire\n"
        "from fleet_client.tracing import sending\n"
        "from fleet_contracts.envelope import build_envelope\n"
        "envelope = build_envelope(tenant='acme', agent='billing', input='Why?')\n"
        "with sending(envelope, broker_url='amqp://') as found:\n"
        "    assert found is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run((sys.executable, "-c", program), check=True, timeout=100)


def test_a_publish_is_a_span_whose_context_the_task_takes_along(
    made: InMemorySpanExporter,
) -> None:
    with tracing.sending(ENVELOPE, broker_url="amqp://guest@host") as found:
        assert valid_traceparent(found) is not None
    (span,) = made.get_finished_spans()
    assert (span.name, span.kind) == ("send agent.billing", trace.SpanKind.PRODUCER)
    assert found is not None
    assert found.split("-")[2] == f"{span.context.span_id:016x}"
    assert span.attributes is not None
    assert span.attributes["messaging.system"] == "rabbitmq"
    assert span.attributes["messaging.message.id"] == str(ENVELOPE.id)


@pytest.mark.parametrize(
    ("method", "path", "spans"),
    [("POST", "/v1/tasks", 1), ("POST", "/v1/tasks/bulk", 1), ("GET", "/v1/tasks/1", 0)],
)
def test_a_request_that_hands_tasks_in_carries_the_trace(
    made: InMemorySpanExporter, method: str, path: str, spans: int
) -> None:
    request = HttpRequest(method=method, path=path)
    with tracing.requesting(request, address="http://fleet/") as headers:
        assert len(headers) == spans
    assert len(made.get_finished_spans()) == spans
