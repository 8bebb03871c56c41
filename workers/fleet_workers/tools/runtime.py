"""Calls tools: validated arguments in, a JSON-ready value out, every failure put into its class."""

import random
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from threading import Lock
from typing import Any

import httpx2
import structlog
from pydantic import ValidationError

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import (
    FleetError,
    InDoubt,
    PermanentError,
    PolicyError,
    TimedOut,
    TooEarly,
    TransientError,
    Unavailable,
)
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.retry_after import read_retry_after
from fleet_workers.telemetry.trace_headers import pass_trace_on
from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.declaration import Tool
from fleet_workers.tools.repeat import Repeat

log = structlog.get_logger(__name__)

_BLIP_WAITS_SECONDS = (0.2, 0.8)  # in-process retries; what lasts longer waits in the store
_UNDER_WAY_SECONDS = 5.0
"""What a request may take beyond the tool's timeout: its caller has left, the server works on."""
_MAX_RESULT_CHARACTERS = 100_000  # a model reads no more of one result
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500

_fence_of_call: ContextVar[Callable[[], None]] = ContextVar("fence_of_call", default=lambda: None)


class ToolRuntime:
    """The tools' side of one worker process; safe to use from every slot."""

    def __init__(self, *, breakers: Breakers, environment: Mapping[str, str]) -> None:
        self._breakers = breakers
        self._environment = environment
        self._clients: dict[float, httpx2.Client] = {}
        self._lock = Lock()

    def call(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        *,
        envelope: TaskEnvelope,
        agent: str,
        key: str,
        environment: tuple[str, ...],
        repeat: Repeat | None,
        fence: Callable[[], None],
    ) -> object:
        """Call a tool, retrying short blips of reads and of writes that honour a key.

        `repeat` says that this very call was begun before. A tool with a reconciler is asked first
        whether it happened; its no counts only once the earlier request, which may still be under
        way, must have ended. `fence` is called right before each call, and before each request
        over the context's `http`; it raises where the task is no longer ours. A write that was
        done is a result, even where its answer cannot be used.

        Raises:
            TransientError: It may succeed later.
            PermanentError: It will not: refused, a broken tool, or a result of another shape.
            TooEarly: Whether it was done before cannot be told yet.
            PolicyError: It is about another customer; nothing was done.
            InDoubt: The tool's code broke in a write: it may have been done.
            LeaseLost: Another worker holds the task.
        """
        context = ToolContext(
            task_id=envelope.id,
            tenant=envelope.tenant,
            customer=envelope.customer,
            agent=agent,
            idempotency_key=key,
            http=self._client(tool.timeout.total_seconds()),
            fence=fence,
            environment={
                name: self._environment[name] for name in environment if name in self._environment
            },
        )
        parsed = tool.parse_arguments(arguments)
        _fence_of_call.set(fence)
        _require_own(tool, context, parsed)
        if repeat is not None and tool.reconciler is not None:
            fence()
            found = _classed(tool, lambda: tool.reconciler(context, **parsed))  # type: ignore[misc]
            if found is not None:
                return _result(tool, found)
            _require_end(tool, repeat)
            repeat.again()
        may_repeat = tool.effect == "read" or tool.repeat == "idempotent"
        waits = _BLIP_WAITS_SECONDS if may_repeat else ()

        def once() -> object:
            fence()
            return self._once(tool, context, parsed)

        return _result(tool, _with_retries(once, waits))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _once(self, tool: Tool, context: ToolContext, parsed: dict[str, Any]) -> object:
        return self._breakers.call(
            f"tool {tool.name}",
            lambda: _classed(tool, lambda: tool.function(context, **parsed)),
        )

    def _client(self, timeout_seconds: float) -> httpx2.Client:
        with self._lock:
            if timeout_seconds not in self._clients:
                self._clients[timeout_seconds] = httpx2.Client(
                    timeout=timeout_seconds,
                    event_hooks={"request": [_check_fence, pass_trace_on]},
                    limits=httpx2.Limits(max_connections=200, max_keepalive_connections=50),
                )
            return self._clients[timeout_seconds]


def _check_fence(_request: httpx2.Request) -> None:
    """Before each request of a tool: it may look something up first and hang before it writes."""
    _fence_of_call.get()()


def _require_own(tool: Tool, context: ToolContext, parsed: dict[str, Any]) -> None:
    """Make sure that a call is about the task's own customer, whatever a prompt says.

    Raises:
        PolicyError: It is about somebody else, or the task has no customer.
    """
    named = parsed.get(tool.customer_argument) if tool.customer_argument else None
    if tool.owner is not None:
        owner = tool.owner
        named = _classed(tool, lambda: owner(context, **parsed))
    if named is not None and str(named) != context.customer:
        raise PolicyError(
            f"{tool.name} is about another customer than this task: nobody else's data may be "
            "looked up or changed."
        )


def _require_end(tool: Tool, repeat: Repeat) -> None:
    """Make sure that the earlier request of a call that has left no trace is over.

    Raises:
        TooEarly: It may still be under way, and be done after the look.
    """
    ends_in = tool.timeout.total_seconds() + _UNDER_WAY_SECONDS - repeat.begun_seconds_ago
    if ends_in > 0:
        raise TooEarly(
            f"{tool.name}: an earlier request may still be under way.", retry_after_seconds=ends_in
        )


def _with_retries(once: Callable[[], object], waits: tuple[float, ...]) -> object:
    for wait_seconds in waits:
        try:
            return once()
        except TransientError as error:
            if error.retry_after_seconds is not None:
                raise
            time.sleep(random.uniform(wait_seconds / 2, wait_seconds))  # noqa: S311 jitter
    return once()


def _classed(tool: Tool, function: Callable[[], object]) -> object:
    """Run a tool's code and turn whatever it raises into the fleet's error tree."""
    try:
        return function()
    except FleetError:
        raise
    except httpx2.TimeoutException as error:
        raise TimedOut(
            f"{tool.name}: no answer within {tool.timeout.total_seconds():g} s."
        ) from error
    except httpx2.HTTPStatusError as error:
        raise _of_status(tool, error.response) from error
    except httpx2.TransportError as error:
        raise Unavailable(f"{tool.name}: {error or type(error).__name__}.") from error
    except Exception as error:
        log.exception("tool.broke", tool=tool.name)
        text = f"{tool.name} failed: {type(error).__name__}: {error}"
        raise (InDoubt(text) if tool.effect == "write" else PermanentError(text)) from error


def _of_status(tool: Tool, response: httpx2.Response) -> FleetError:
    text = f"{tool.name}: the server answered {response.status_code}."
    if response.status_code == _TOO_MANY_REQUESTS or response.status_code >= _SERVER_ERROR:
        return Unavailable(text, retry_after_seconds=read_retry_after(response.headers))
    return PermanentError(text)


def _result(tool: Tool, value: object) -> object:
    try:
        return _read_result(tool, value)
    except PermanentError as error:
        if tool.effect == "read":
            raise
        return f"Done. {error}"


def _read_result(tool: Tool, value: object) -> object:
    try:
        checked = tool.result.validate_python(value)
        text = tool.result.dump_json(checked)
    except (ValidationError, ValueError) as error:
        raise PermanentError(f"{tool.name} returned something of another shape.") from error
    if len(text) > _MAX_RESULT_CHARACTERS:
        raise PermanentError(
            f"{tool.name} returned {len(text):,} characters, the limit is "
            f"{_MAX_RESULT_CHARACTERS:,}: ask for less."
        )
    return tool.result.dump_python(checked, mode="json")
