"""Which replies may be used again, and the form in which they are stored."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any, Final

from fleet_workers.models.asked_for import AskedFor, Source
from fleet_workers.models.candidates import OFFLINE_PREFIX
from fleet_workers.models.control import CONTROL_NAMES
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall

_WHOLE: Final = frozenset({"stop", "tool_calls"})
_NEW: Final = frozenset({"model", "batch", "batch_api"})
_MOST_BYTES = 64 * 1024  # of a stored reply; longer ones are rare and not worth their room


class Unreadable(ValueError):
    """A stored reply is not in the form in which replies are stored."""


def may_be_kept(asked: AskedFor, models: Sequence[str]) -> bool:
    """Whether the reply to a request may be kept for others at all.

    Not if it shows signs of manipulation, or is for the built-in offline model, which costs nothing
    and whose words must not pass for what a model said.
    """
    if asked.flagged or not asked.caching.exact:
        return False
    return not any(each.startswith(OFFLINE_PREFIX) for each in models)


def may_be_used_again(reply: ChatReply, request: ChatRequest, asked: AskedFor) -> bool:
    """Whether a reply was made for this request, is whole, can be followed, and writes nothing.

    Words to a customer out of a shared call are not kept: a request beside it may have had a say in
    them that no check notices, and that shall not last.
    """
    if reply.source not in _NEW or reply.offline or reply.finish_reason not in _WHOLE:
        return False
    if reply.source == "batch" and _tells_somebody(reply):
        return False
    return not plans_write(reply, asked) and _can_be_followed(reply, request)


def plans_write(reply: ChatReply, asked: AskedFor) -> bool:
    """Whether a reply asks for a call that changes something."""
    return any(call.name in asked.writes for call in reply.tool_calls)


def _tells_somebody(reply: ChatReply) -> bool:
    return not reply.tool_calls or any(each.name in CONTROL_NAMES for each in reply.tool_calls)


def stored_form(reply: ChatReply) -> dict[str, Any] | None:
    """A reply as JSON, or None where it is too long to be kept."""
    form = {
        "text": reply.text,
        "calls": [[call.id, call.name, call.arguments] for call in reply.tool_calls],
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "endpoint": reply.endpoint,
        "candidate": reply.candidate,
        "worth_usd": _worth(reply),
    }
    return form if len(json.dumps(form, ensure_ascii=False).encode()) <= _MOST_BYTES else None


def read_reply(
    form: object, *, source: Source, provenance: Mapping[str, Any], seconds: float
) -> ChatReply:
    """A stored reply, as one that costs nothing now.

    Raises:
        Unreadable: The row was changed, or comes from another version of the fleet.
    """
    try:
        return _read(form, source, provenance, seconds)
    except (KeyError, TypeError, ValueError, DecimalException) as error:
        raise Unreadable(f"A stored reply cannot be read: {error!r}.") from error


def _read(form: Any, source: Source, provenance: Mapping[str, Any], seconds: float) -> ChatReply:
    worth = form["worth_usd"]
    return ChatReply(
        text=None if form["text"] is None else _text(form["text"]),
        tool_calls=tuple(
            ToolCall(id=_text(call_id), name=_text(name), arguments=_text(arguments))
            for call_id, name, arguments in form["calls"]
        ),
        model=_text(form["model"]),
        finish_reason=_text(form["finish_reason"]),
        prompt_tokens=0,
        completion_tokens=0,
        duration_seconds=seconds,
        endpoint=_text(form["endpoint"]),
        candidate=None if form["candidate"] is None else _text(form["candidate"]),
        cost_usd=Decimal(0),
        source=source,
        saved_usd=None if worth is None else Decimal(_text(worth)),
        provenance=provenance,
    )


def _worth(reply: ChatReply) -> str | None:
    """What the question costs by itself: a share of a batch's costs is less than that."""
    if reply.cost_usd is None:
        return None
    return str(reply.cost_usd + (reply.saved_usd or 0))


def _can_be_followed(reply: ChatReply, request: ChatRequest) -> bool:
    """A plan that would be sent back to the model, or to a person, is not repeated."""
    if not reply.tool_calls:
        return bool((reply.text or "").strip())
    names = [call.name for call in reply.tool_calls]
    known = {str(tool.get("function", {}).get("name")) for tool in request.tools}
    if not known.issuperset(names) or (len(names) > 1 and not CONTROL_NAMES.isdisjoint(names)):
        return False
    return all(_is_object(call.arguments) for call in reply.tool_calls)


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments or "{}"), dict)
    except (ValueError, RecursionError):
        return False


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
