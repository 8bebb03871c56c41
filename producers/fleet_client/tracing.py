"""The client's part of a trace, where the service that uses it makes traces.

OpenTelemetry is neither needed nor loaded: it is used where the service has loaded it itself.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fleet_client.steps import HttpRequest
from fleet_contracts.codec import TRACE_HEADER
from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.topology import agent_address, is_rabbitmq

_SENDING: Final = "send"
_HANDING_IN: Final = frozenset({"/v1/tasks", "/v1/tasks/bulk"})


@contextmanager
def sending(envelope: TaskEnvelope, *, broker_url: str) -> Iterator[str | None]:
    """A span of kind PRODUCER around a publish; gives the trace context that the task takes along.

    That is None where the service makes no traces and works in none.
    """
    api = _api()
    if api is None:
        yield None
        return
    address = agent_address(envelope.agent)
    with api.get_tracer("agent-fleet-client").start_as_current_span(
        f"{_SENDING} {address}",
        kind=api.SpanKind.PRODUCER,
        attributes={
            "messaging.system": "rabbitmq" if is_rabbitmq(broker_url) else "redis",
            "messaging.operation.name": _SENDING,
            "messaging.operation.type": _SENDING,
            "messaging.destination.name": address,
            "messaging.message.id": str(envelope.id),
        },
    ):
        yield _current(api)


@contextmanager
def requesting(request: HttpRequest, *, address: str) -> Iterator[Mapping[str, str]]:
    """A span of kind CLIENT around a request that hands tasks in; gives the headers to add."""
    api = _api()
    if api is None or request.method != "POST" or request.path not in _HANDING_IN:
        yield {}
        return
    with api.get_tracer("agent-fleet-client").start_as_current_span(
        f"{request.method} {request.path}",
        kind=api.SpanKind.CLIENT,
        attributes={
            "http.request.method": request.method,
            "url.full": f"{address.rstrip('/')}{request.path}",
        },
    ):
        trace = _current(api)
        yield {} if trace is None else {TRACE_HEADER: trace}


def _api() -> Any:
    return sys.modules.get("opentelemetry.trace")


def _current(api: Any) -> str | None:
    found = api.get_current_span().get_span_context()
    if not found.is_valid:
        return None
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags & 1:02x}"
