"""Spans of the HTTP API: a request's, which FastAPI makes, and that of a task that is sent on."""

from collections.abc import MutableMapping
from typing import Any, Final

from fastapi.telemetry import TelemetryConfig

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.topology import agent_address
from fleet_workers.telemetry import span_names as names
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.traces import NO_SPAN, Span

_TRACED: Final = "/v1/"


def _is_not_traced(scope: MutableMapping[str, Any]) -> bool:
    """Pages, probes and scrapes are no part of a task's story."""
    return not str(scope.get("path", "")).startswith(_TRACED)


TELEMETRY: Final[TelemetryConfig] = {
    # The process has set up its exporter; logs of faults hold what was sent, metrics are ours.
    "auto_configure": False,
    "logs": False,
    "metrics": False,
    "operation_spans": False,
    "exclude": _is_not_traced,
}


def send_span(envelope: TaskEnvelope) -> Span:
    """The span of a task that is stored with its message; the task's trace goes on from it."""
    tracing = traces.live()
    if tracing is None:
        return NO_SPAN
    address = agent_address(envelope.agent)
    return traces.span(
        f"{names.SEND} {address}",
        kind="producer",
        attributes={
            names.MESSAGING_SYSTEM: tracing.messaging_system,
            names.MESSAGING_OPERATION: names.SEND,
            names.MESSAGING_OPERATION_TYPE: names.SEND,
            names.MESSAGING_DESTINATION: address,
            names.MESSAGING_MESSAGE_ID: str(envelope.id),
            names.TASK_ID: str(envelope.id),
            names.TENANT: envelope.tenant,
        },
    )
