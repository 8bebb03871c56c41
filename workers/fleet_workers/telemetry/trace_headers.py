"""Passes the trace of the task at hand on to the systems that its tools ask."""

import httpx2

from fleet_contracts.codec import TRACE_HEADER
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.run_scope import run_scope


def pass_trace_on(request: httpx2.Request) -> None:
    """Add the W3C trace context to a request that has none.

    It is that of the current span or, while traces are off, the one that the task came with.
    """
    if TRACE_HEADER in request.headers:
        return
    trace = traces.current().traceparent
    if trace is None and (scope := run_scope()) is not None:
        trace = scope.trace
    if trace is not None:
        request.headers[TRACE_HEADER] = trace
