"""Spans, for every part of the fleet: where no exporter is set, nothing is loaded and made.

Traces are on where `OTEL_EXPORTER_OTLP_ENDPOINT` (or its form for traces) is set; sampling, limits
and batches follow OpenTelemetry's own variables.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.topology import is_rabbitmq

if TYPE_CHECKING:
    from fleet_workers.telemetry.trace_export import LiveTracing

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value]
Kind = Literal["internal", "client", "server", "producer", "consumer"]

CAPTURE_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURES: Final = frozenset({"true", "1", "span_only", "span_and_event"})
_NOTHING: Final[Attributes] = {}


class Span(Protocol):
    """One span, entered while its work is done; inside, it is the current one.

    An error that leaves the block is noted by its class or code, never by its words.
    """

    @property
    def traceparent(self) -> str | None:
        """Its W3C trace context; None where traces are off."""
        ...

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def event(self, name: str, attributes: Attributes = _NOTHING) -> None:
        """Note something that happened now."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class _NoSpan:
    """What stands in for every span while traces are off."""

    __slots__ = ()
    traceparent = None

    def set(self, attributes: Attributes) -> None:
        """Add nothing."""

    def event(self, name: str, attributes: Attributes = _NOTHING) -> None:
        """Note nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


NO_SPAN: Final[Span] = _NoSpan()


_live: "LiveTracing | None" = None


def live() -> "LiveTracing | None":
    """What makes spans, or None while traces are off."""
    return _live


def start_traces(
    process: str, *, broker_url: str, environment: str, release: str
) -> "LiveTracing | None":
    """Begin to make spans in this process, where an exporter is set; gives what makes them.

    `process` is what the service is called unless `OTEL_SERVICE_NAME` names it. Spans leave in the
    background: an endpoint that is away or hangs delays nothing and loses spans only.

    Raises:
        ConfigurationError: An exporter is asked for that the fleet does not have.
    """
    global _live  # noqa: PLW0603 one a process, as the exporter's own
    if not _is_on() or _live is not None:
        return _live
    from fleet_workers.telemetry.trace_export import open_traces  # noqa: PLC0415 else not loaded

    system = "rabbitmq" if is_rabbitmq(broker_url) else "redis"
    content = os.environ.get(CAPTURE_VARIABLE, "").strip().lower() in _CAPTURES
    _live = open_traces(
        process,
        messaging_system=system,
        captures_content=content,
        environment=environment,
        release=release,
    )
    return _live


def stop_traces(*, within_seconds: float = 3.0) -> None:
    """Send what is not sent yet, for as long as `within_seconds`, and make no more spans."""
    global _live
    ending, _live = _live, None
    if ending is not None:
        ending.stop(within_seconds=within_seconds)


def span(
    name: str,
    *,
    kind: Kind = "internal",
    attributes: Attributes = _NOTHING,
    parent: str | None = None,
    links: Sequence[str] = (),
    is_root: bool = False,
    span_id: int | None = None,
    trace_id: int | None = None,
    began: datetime | None = None,
) -> Span:
    """A span to enter: under the current one, or under `parent`, a W3C trace context.

    `links` are trace contexts as well. `is_root` begins a trace, of `trace_id` where one is given;
    `span_id` says what the span shall be called, so that others can name it without being told.
    """
    if _live is None:
        return NO_SPAN
    return _live.span(
        name,
        kind=kind,
        attributes=attributes,
        parent=parent,
        links=links,
        is_root=is_root,
        span_id=span_id,
        trace_id=trace_id,
        began=began,
    )


def emit(
    name: str,
    *,
    kind: Kind = "internal",
    attributes: Attributes = _NOTHING,
    parent: str | None = None,
    is_root: bool = False,
    span_id: int | None = None,
    trace_id: int | None = None,
    began: datetime | None = None,
    ended: datetime | None = None,
    error_type: str | None = None,
) -> None:
    """A span of something that is over: nothing happens inside it any more."""
    if _live is None:
        return
    _live.span(
        name,
        kind=kind,
        attributes=attributes,
        parent=parent,
        links=(),
        is_root=is_root,
        span_id=span_id,
        trace_id=trace_id,
        began=began,
    ).end(ended=ended, error_type=error_type)


def current() -> Span:
    """The span in which this thread works now."""
    return NO_SPAN if _live is None else _live.current()


def _is_on() -> bool:
    told = os.environ
    if told.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = told.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() or "otlp"
    if exporter == "none":
        return False
    endpoint = told.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or told.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    if not endpoint:
        return False
    protocol = told.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or told.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
    )
    if exporter != "otlp" or protocol.strip().lower() != "http/protobuf":
        raise ConfigurationError(
            f"Traces leave by OTLP as http/protobuf; OTEL_TRACES_EXPORTER is {exporter!r} and the "
            f"protocol {protocol!r}. Set them to 'otlp' and 'http/protobuf', and the endpoint to "
            "the collector's HTTP port, which is 4318 for most."
        )
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint!r}: give a URL like http://collector:4318."
        )
    return True
