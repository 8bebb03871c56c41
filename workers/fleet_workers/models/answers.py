"""A reply as an endpoint gave it, whichever of its APIs was asked, and how it is read safely.

Servers in the wild leave out what their schema promises, so nothing is taken for granted.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet_contracts.errors import PermanentError, Unavailable
from fleet_workers.models.messages import AnswerSchema, Message, ToolCall
from fleet_workers.models.usage import TokenUsage

_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)
_REASONS: Final = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
}
_BAD_REQUEST, _TOO_MANY, _SERVER = 400, 429, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reply says. `usage` is None where the endpoint did not tell it."""

    text: str | None
    tool_calls: tuple[ToolCall, ...]
    model: str | None
    finish_reason: str
    usage: TokenUsage | None


class Unusable(Exception):
    """A reply without an answer in it; what it took stands beside."""

    def __init__(self, reason: str, usage: TokenUsage | None) -> None:
        super().__init__(reason)
        self.usage = usage


def as_object(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> Sequence[Any]:
    """A JSON array, or an empty one in place of anything else."""
    return value if isinstance(value, list) else ()


def as_text(value: object) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def read_call(index: int, call_id: object, name: object, arguments: object) -> ToolCall | None:
    """A call; None where it has no name. Arguments that came as JSON become text again."""
    if not as_text(name):
        return None
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return ToolCall(
        id=as_text(call_id) or f"call_{index}", name=str(name), arguments=str(arguments or "{}")
    )


def read_reason(told: object, calls: Sequence[ToolCall]) -> str:
    """Why a reply ended, in the words of chat completions."""
    word = as_text(told)
    if word is None:
        return "tool_calls" if calls else "stop"
    return _REASONS.get(word.lower(), word)


def instructed(messages: Sequence[Message], schema: AnswerSchema) -> list[Message]:
    """The messages with the schema in words, in front, for models that take it in no other way."""
    words = (
        "Answer with one JSON object and nothing else. It must satisfy this JSON Schema:\n"
        + json.dumps(schema.schema, ensure_ascii=False)
    )
    first, rest = (messages[0], messages[1:]) if messages else ({}, [])
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        return [{**first, "content": f"{first['content']}\n\n{words}"}, *rest]
    return [{"role": "system", "content": words}, *messages]


def without_fence(text: str | None) -> str | None:
    """A text without the code fence that models like to put around JSON."""
    found = _FENCED.fullmatch(text) if text else None
    return found[1] if found else text


def told_error(error: object, where: str, usage: TokenUsage | None) -> Exception:
    """The error that a reply of status 200 holds: by its code where that is a status.

    A reply that failed after tokens were made is `Unusable`, for it may cost something.
    """
    found = as_object(error)
    words = as_text(found.get("message")) or as_text(error) or "an error without words"
    text = f"{where} answered with an error: {words[:500]}"
    if usage is not None and usage.completion:
        return Unusable(text, usage)
    code = str(found.get("code"))
    status = int(code) if len(code) == len("500") and code.isdecimal() else 0
    if _BAD_REQUEST <= status < _SERVER and status != _TOO_MANY:
        return PermanentError(f"{text} (code {status})")
    return Unavailable(text)
