"""What may be shown of Celery's events and of workers' answers: everything but contents.

The fleet's own messages say nothing in the places that Celery prints, but any Celery client may
send tasks, and it prints the arguments into the message and into its own `task-sent` event.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "…"
"""Stands where a value is not shown."""

_HIDDEN_TEXTS: Final = frozenset({"args", "kwargs", "result"})
_REMOVED: Final = frozenset({"traceback"})
_ERROR_CLASS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}(?=\(|:|$)")


def redact_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """A Celery event without arguments, result and traceback; of an exception its class is left.

    An event that has none of them comes back as it was, so the rest of Flower sees no difference.
    """
    shown = {name: value for name, value in event.items() if name not in _REMOVED}
    for name in _HIDDEN_TEXTS & shown.keys():
        if shown[name]:
            shown[name] = HIDDEN
    if shown.get("exception"):
        shown["exception"] = _class_of_error(shown["exception"])
    return shown


def redact_reply(reply: Any) -> Any:
    """A worker's answer to a remote command, with the arguments hidden at any depth.

    `inspect reserved` and `inspect scheduled` answer with the arguments themselves.
    """
    if isinstance(reply, Mapping):
        return {
            name: HIDDEN if name in _HIDDEN_TEXTS and value else redact_reply(value)
            for name, value in reply.items()
        }
    if isinstance(reply, list | tuple):
        return [redact_reply(each) for each in reply]
    return reply


def _class_of_error(text: object) -> str:
    found = _ERROR_CLASS.match(str(text))
    return found[0] if found else HIDDEN
