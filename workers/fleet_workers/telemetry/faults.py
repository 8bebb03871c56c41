"""How an exception is told in logs: where it came from always, its words only where they are ours.

Errors of libraries and of tools may quote what they were given: a customer's request, a row.
"""

import traceback
from types import TracebackType
from typing import Final

from fleet_contracts.errors import FleetError
from fleet_workers.telemetry.redaction import redact

WITHHELD: Final = "(words withheld: they may quote a request)"

_HARMLESS: Final = (FleetError, ArithmeticError, AttributeError, ImportError, NameError, OSError)
"""Whose words name code, files and addresses; the last also those of connections."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def words_of(error: BaseException) -> str:
    """An exception's words, without personal data; withheld where they may quote a request."""
    return redact(str(error)) if isinstance(error, _HARMLESS) else WITHHELD


def told_error(error: BaseException) -> str:
    """An exception and its causes, each with its place, the first cause first."""
    told: list[str] = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        told.insert(0, _told_one(each))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n\nThen:\n\n".join(told)


def as_exception(exc_info: object) -> BaseException | None:
    """The exception of what `logging` and structlog take as `exc_info`."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple) and len(exc_info) > 1 and isinstance(exc_info[1], BaseException):
        return exc_info[1]
    return None


def _told_one(error: BaseException) -> str:
    # Lines of source hold no values; local variables would.
    frames = "".join(traceback.format_tb(error.__traceback__))
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return f"{frames}{name}: {words_of(error)}"
