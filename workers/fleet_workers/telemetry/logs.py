"""structlog with dotted events: JSON lines for machines, or plain text for a terminal.

Every line that is written while a task is worked on, by whatever library, names the task, its
tenant, agent, epoch, step and trace. No line holds a request's words or personal data.
"""

import logging
import sys
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from fleet_workers.telemetry import traces
from fleet_workers.telemetry.faults import as_exception, told_error
from fleet_workers.telemetry.redaction import Mask, redact, use_mask
from fleet_workers.telemetry.run_scope import run_scope
from fleet_workers.telemetry.sentry import report_line

_AS_THEY_ARE: Final = frozenset(
    {
        "agent",
        "chore",
        "code",
        "exception",
        "kind",
        "level",
        "logger",
        "model",
        "queue",
        "span_id",
        "step_kind",
        "task",
        "tenant",
        "timestamp",
        "trace_id",
        "worker",
    }
)
"""Fields whose values are names and ids of the fleet's own, or redacted already."""

_CHATTY: Final = ("httpx2", "httpcore2", "openai", "amqp", "kombu.connection", "urllib3")


def configure_logs(level: str, style: Literal["json", "text"], *, mask: Mask | None = None) -> None:
    """Send the fleet's and every library's log to standard error, in one form.

    `mask` hides personal data in texts: what errors say, and what libraries log.
    """
    if mask is not None:
        use_mask(mask)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_run,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        report_line,
        _tell_exception,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            *shared,
            _redact_fields,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _name_logger, _redact_foreign],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # It warns of each queue that is not there, which is how the janitor finds out.
    logging.getLogger("pika").setLevel(logging.ERROR)


def _add_run(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The task at hand and the span; what the line itself says of them counts more."""
    scope = run_scope()
    told: EventDict = {} if scope is None else {**scope.fields()}
    tracing = traces.live()
    if tracing is not None and (ids := tracing.current_ids()):
        told["trace_id"], told["span_id"] = ids
    return {**told, **event} if told else event


def _tell_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    found = event.pop("exc_info", None)
    error = as_exception(sys.exc_info() if found is True else found)
    if error is not None:
        event["exception"] = told_error(error)
    return event


def _name_logger(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = event["_record"].name
    return event


def _redact_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The fleet's own lines: their event is a constant, what errors say is not."""
    for name, value in event.items():
        if isinstance(value, str) and name != "event" and name not in _AS_THEY_ARE:
            event[name] = redact(value)
    return event


def _redact_foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["event"] = redact(str(event["event"]))
    return event
