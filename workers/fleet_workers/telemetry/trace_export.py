"""The only importer of OpenTelemetry's SDK: makes spans and sends them away in the background."""

import logging
import os
from collections.abc import Sequence
from contextvars import ContextVar, Token
from datetime import datetime
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode
from opentelemetry.trace import TraceFlags as Flags

from fleet_contracts.errors import FleetError
from fleet_workers.telemetry import span_names as names
from fleet_workers.telemetry.span_scrubber import scrubbed
from fleet_workers.telemetry.trace_context import TraceContext, parse_traceparent
from fleet_workers.telemetry.traces import Attributes, Kind

_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_NO_FAULTS: Final = frozenset({"draining", "lease_lost", "filed", "ask_again"})
"""Codes with which work is put off or given to others; nothing went wrong."""

_LOGGERS: Final = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk")
_REPEAT_SECONDS: Final = 60.0

_asked_ids: ContextVar[tuple[int | None, int | None]] = ContextVar(
    "asked_ids", default=(None, None)
)


def open_traces(
    process: str, *, messaging_system: str, captures_content: bool, environment: str, release: str
) -> "LiveTracing":
    """Make this process's spans, for its libraries as well, and send them by OTLP."""
    provider = TracerProvider(
        resource=_resource(process, environment, release),
        id_generator=_Ids(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(_Scrubbing(OTLPSpanExporter())))
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_Seldom())
    trace.set_tracer_provider(provider)
    return LiveTracing(
        provider, messaging_system=messaging_system, captures_content=captures_content
    )


class LiveTracing:
    """Makes spans. One a process; safe to use from every slot."""

    def __init__(
        self, provider: TracerProvider, *, messaging_system: str, captures_content: bool
    ) -> None:
        self.messaging_system = messaging_system
        self.captures_content = captures_content
        self._provider = provider
        self._tracer = provider.get_tracer("agent-fleet")

    def span(
        self,
        name: str,
        *,
        kind: Kind,
        attributes: Attributes,
        parent: str | None,
        links: Sequence[str],
        is_root: bool,
        span_id: int | None,
        trace_id: int | None,
        began: datetime | None,
    ) -> "LiveSpan":
        """Begin a span; see `fleet_workers.telemetry.traces.span`."""
        context = contexts.Context() if is_root else None
        if parent is not None and (told := parse_traceparent(parent)):
            context = trace.set_span_in_context(NonRecordingSpan(_span_context(told)))
        found = [_span_context(each) for link in links if (each := parse_traceparent(link))]
        token = _asked_ids.set((trace_id, span_id))
        try:
            return LiveSpan(
                self._tracer.start_span(
                    name,
                    context=context,
                    kind=_KINDS[kind],
                    attributes=dict(attributes),
                    links=[Link(each) for each in found],
                    start_time=None if began is None else _nanoseconds(began),
                )
            )
        finally:
            _asked_ids.reset(token)

    def current(self) -> "LiveSpan":
        """The span in which this thread works now, perhaps a library's."""
        return LiveSpan(trace.get_current_span())

    def current_ids(self) -> tuple[str, str] | None:
        """Trace and span id of the current span, in hex."""
        found = trace.get_current_span().get_span_context()
        return (f"{found.trace_id:032x}", f"{found.span_id:016x}") if found.is_valid else None

    def is_sampled(self, trace_id: int) -> bool:
        """Whether a trace that begins under this id shall be recorded."""
        decided = self._provider.sampler.should_sample(None, trace_id, names.PROCESS).decision
        return decided is Decision.RECORD_AND_SAMPLE

    def stop(self, *, within_seconds: float) -> None:
        """Send what is left. The SDK waits for an endpoint that hangs; the process does not."""
        ending = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(within_seconds)


class LiveSpan:
    """A span of the SDK, in the form that the fleet's code uses."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Token[Any] | None = None

    @property
    def traceparent(self) -> str | None:
        """Its W3C trace context."""
        found = self._span.get_span_context()
        if not found.is_valid:
            return None
        is_sampled = bool(found.trace_flags & Flags.SAMPLED)
        return str(
            TraceContext(trace_id=found.trace_id, span_id=found.span_id, is_sampled=is_sampled)
        )

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        if self._span.is_recording():
            self._span.set_attributes(dict(attributes))

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Note something that happened now."""
        if self._span.is_recording():
            self._span.add_event(name, attributes=dict(attributes or {}))

    def end(self, *, ended: datetime | None = None, error_type: str | None = None) -> None:
        """End it, now unless told otherwise, with what went wrong."""
        if error_type is not None:
            self._span.set_attribute(names.ERROR_TYPE, error_type)
            self._span.set_status(StatusCode.ERROR)
        self._span.end(None if ended is None else _nanoseconds(ended))

    def __enter__(self) -> Self:
        self._token = contexts.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            contexts.detach(self._token)
        code = _code(error)
        if code in _NO_FAULTS:
            self._span.set_attribute(names.INTERRUPTED_BY, code)
            code = None
        self.end(error_type=code)


class _Ids(RandomIdGenerator):
    """Random ids, but for spans that others must be able to name."""

    def generate_trace_id(self) -> int:
        asked, _ = _asked_ids.get()
        return asked or super().generate_trace_id()

    def generate_span_id(self) -> int:
        _, asked = _asked_ids.get()
        return asked or super().generate_span_id()


class _Scrubbing(SpanExporter):
    """Sends spans without the words that libraries note in them."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([scrubbed(each) for each in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


class _Seldom(logging.Filter):
    """One line a minute about an endpoint that is away."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created < self._next:
            return False
        self._next = record.created + _REPEAT_SECONDS
        return True


def _resource(process: str, environment: str, release: str) -> Resource:
    known = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    told: dict[str, str] = {"service.version": release}
    if "deployment.environment.name=" not in known:
        told["deployment.environment.name"] = environment
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in known:
        told["service.name"] = f"fleet-{process}"
    return Resource.create(told)


def _span_context(told: TraceContext) -> SpanContext:
    return SpanContext(
        trace_id=told.trace_id,
        span_id=told.span_id,
        is_remote=True,
        trace_flags=Flags(Flags.SAMPLED if told.is_sampled else Flags.DEFAULT),
    )


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1_000


def _code(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return error.code if isinstance(error, FleetError) else type(error).__name__
