"""Reports unexpected errors to Sentry, without anything that a customer wrote.

What is reported is what the logs call an error: exceptions that are not part of the fleet's
ordinary life, and lines that ask for an operator. They are grouped by their class or code and the
place in the code that they come from, never by task.
"""

import logging
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from fleet_contracts.errors import (
    BudgetError,
    ConfigurationError,
    FleetError,
    InvalidInput,
    LeaseLost,
    PolicyError,
    TransientError,
    Unauthorized,
)
from fleet_workers.telemetry.faults import as_exception, words_of
from fleet_workers.telemetry.redaction import redact
from fleet_workers.telemetry.run_scope import run_scope

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint
    from structlog.typing import EventDict, WrappedLogger

_EXPECTED: Final = (
    BudgetError,
    InvalidInput,
    KeyboardInterrupt,
    LeaseLost,
    OSError,
    PolicyError,
    SystemExit,
    TransientError,
    Unauthorized,
)
"""What happens in the ordinary life of a fleet; connections that break are among the OS's."""

_TOLD_ELSEWHERE: Final = frozenset({"web.request_broke"})
"""Lines beside which the server logs the exception itself."""
_EXPECTED_ENDS: Final = frozenset(
    {
        "internal_error",
        "attempts_used_up",
        *(each.code for each in _EXPECTED if hasattr(each, "code")),
    }
)
"""Why tasks die of reasons that are reported already, or are no fault in the fleet."""
_OURS: Final = "fleet_"
_FLUSH_SECONDS: Final = 2

_sentry: ModuleType | None = None


def configure_sentry(
    dsn: str | None, *, process: str = "fleetctl", environment: str = "", release: str = ""
) -> None:
    """Start reporting where a DSN is set. Local variables, bodies and breadcrumbs hold requests.

    `SENTRY_ENVIRONMENT` and `SENTRY_RELEASE` count more than the arguments.

    Raises:
        ConfigurationError: The DSN is none.
    """
    global _sentry  # noqa: PLW0603 one a process, as the SDK's own client
    if not dsn:
        return
    import sentry_sdk  # noqa: PLC0415 loaded where it is used
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415 as above
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415 as above
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415 as above
    from sentry_sdk.integrations.threading import ThreadingIntegration  # noqa: PLC0415 as above
    from sentry_sdk.utils import BadDsn  # noqa: PLC0415 as above

    try:
        sentry_sdk.init(
            dsn=dsn,
            environment=os.environ.get("SENTRY_ENVIRONMENT") or environment or None,
            release=os.environ.get("SENTRY_RELEASE") or release or None,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            auto_session_tracking=False,
            propagate_traces=False,
            traces_sample_rate=None,
            enable_metrics=False,
            shutdown_timeout=_FLUSH_SECONDS,
            in_app_include=["fleet_contracts", "fleet_client", "fleet_workers"],
            # Those for Celery, FastAPI and others would report what the fleet handles, patch
            # libraries, and add headers to messages.
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[
                AtexitIntegration(callback=lambda _pending, _timeout: None),
                DedupeIntegration(),
                ExcepthookIntegration(),
                ThreadingIntegration(propagate_scope=False),
            ],
            before_send=clean_event,
        )
    except BadDsn as error:
        raise ConfigurationError(
            f"SENTRY_DSN cannot be used ({error}): copy it anew from the project's settings."
        ) from None
    sentry_sdk.set_tag("process", process)
    _sentry = sentry_sdk
    logging.getLogger("sentry_sdk.errors").setLevel(logging.CRITICAL)


def report_line(_logger: "WrappedLogger", method: str, event: "EventDict") -> "EventDict":
    """A log processor: reports lines of errors, the fleet's and those of libraries."""
    if _sentry is None or method not in {"error", "exception", "critical"}:
        return event
    found = event.get("exc_info")
    error = as_exception(sys.exc_info() if found is True else found)
    if error is not None:
        _sentry.capture_exception(error)
    elif _asks_for_an_operator(event):
        with _sentry.new_scope() as scope:
            scope.fingerprint = [str(event["event"]), *_causes(event)]
            _sentry.capture_message(_line(event), level="error")
    return event


def clean_event(event: "Event", hint: "Hint") -> "Event | None":
    """What is sent of an event: class, place and tags; None where it was to be expected."""
    told: dict[str, Any] = event  # type: ignore[assignment]  # a TypedDict with as many holes
    error = as_exception(hint.get("exc_info"))
    if error is not None:
        if is_expected(error):
            return None
        told["fingerprint"] = [_class_of(error), _place_of(error)]
        chain: list[BaseException] = _chain(error)
        for value in (told.get("exception") or {}).get("values", []):
            value["value"] = _words_in(value, chain)
    for name in ("breadcrumbs", "extra", "request", "user", "server_name", "modules"):
        told.pop(name, None)
    scope = run_scope()
    if scope is not None:
        known = scope.fields()
        tags = {name: known[name] for name in ("agent", "tenant", "step_kind") if name in known}
        told["tags"] = {**(told.get("tags") or {}), **tags}
        ids = {name: known[name] for name in ("task", "trace_id", "step", "epoch") if name in known}
        told.setdefault("contexts", {})["task"] = ids
    return event


def is_expected(error: BaseException) -> bool:
    """Whether an error belongs to the ordinary life of a fleet."""
    return isinstance(error, _EXPECTED)


def _asks_for_an_operator(event: "EventDict") -> bool:
    """A line of the fleet's own, by its dotted event, that tells no expected end of a task."""
    if "_record" in event or event.get("event") in _TOLD_ELSEWHERE:
        return False
    return event.get("event") != "task.dead" or event.get("reason") not in _EXPECTED_ENDS


def _causes(event: "EventDict") -> list[str]:
    return [str(event[name]) for name in ("reason", "model", "tool", "chore") if name in event]


def _line(event: "EventDict") -> str:
    words = redact(str(event.get("error", "")))
    return f"{event['event']}: {words}" if words else str(event["event"])


def _class_of(error: BaseException) -> str:
    return error.code if isinstance(error, FleetError) else type(error).__qualname__


def _place_of(error: BaseException) -> str:
    """Module and function of the innermost frame of the fleet's or an agent's code."""
    place, trace = "unknown", error.__traceback__
    last = place
    while trace is not None:
        frame = trace.tb_frame
        module = _without_digest(str(frame.f_globals.get("__name__", "")))
        last = f"{module}.{frame.f_code.co_name}"
        if module.startswith(_OURS):
            place = last
        trace = trace.tb_next
    return last if place == "unknown" else place


def _without_digest(module: str) -> str:
    """The module of an agent's tools is named after its content as well."""
    return module.rpartition("_")[0] if module.startswith("fleet_agent_") else module


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return found


def _words_in(value: dict[str, Any], chain: list[BaseException]) -> str:
    for each in chain:
        if type(each).__name__ == value.get("type"):
            return words_of(each)
    return ""
