"""Composes what the customer reads: answers from tool results, questions, reasons."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import json
import re
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from fleet_workers.embedded.offline_model.conversation import PastCall
from fleet_workers.embedded.offline_model.language import name_words
from fleet_workers.embedded.offline_model.records import Record, choose, records
from fleet_workers.embedded.offline_model.schemas import Parameter, ToolSpec
from fleet_workers.embedded.offline_model.vocabulary import READ_VERBS, WRITE_VERBS

_TELLING_KEYS: Final = (
    "explanation", "answer", "message", "summary", "text", "body", "content", "description",
    "detail", "details", "note",
)  # fmt: skip
_TITLE_KEYS: Final = ("title", "name", "headline", "subject")
_HIDDEN_KEYS: Final = frozenset({"tenant", "url", "etag", "metadata", "version"})
_MAX_ROWS: Final = 4
_MAX_FACTS: Final = 7
_MAX_TEXT: Final = 700


def describe_result(call: PastCall, spec: ToolSpec, text: str, today: date) -> str:
    """What a successful call brought, in words; the records that fit the text come first."""
    if spec.writes:
        opening = f"I have done this for you: {spec.phrase}{_with(call.arguments)}."
        facts = _result_facts(call, text, today, rows=1)
        return f"{opening} {facts}".strip()
    facts = _result_facts(call, text, today, rows=_MAX_ROWS)
    return facts or f"I looked ({spec.phrase}) and found nothing."


def found_nothing(call: PastCall) -> bool:
    """Tell whether a call succeeded and its result holds no record."""
    result = call.result
    if isinstance(result, dict):
        lists = [value for value in result.values() if isinstance(value, list)]
        return not result or (bool(lists) and not any(lists) and not _tells(result))
    return result is None or result in ("", [])


def _tells(result: dict[str, Any]) -> bool:
    return any(isinstance(result.get(key), str) for key in _TELLING_KEYS)


def _result_facts(call: PastCall, text: str, today: date, *, rows: int) -> str:
    if isinstance(call.result, str):
        return call.result.strip()[:_MAX_TEXT]
    if isinstance(call.result, int | float):
        return f"The result is {call.result}."
    found = records([call])
    if isinstance(call.result, list) and not found:
        return _join([str(item) for item in call.result[:20]], "")
    if not found:
        return ""
    outer, rest = (found[0], found[1:]) if isinstance(call.result, dict) else (None, found)
    if outer is not None and not _plain_fields(call.result):
        outer, rest = None, found
    lines = [describe_record(outer)] if outer else []
    if rest:
        choice = choose(rest, text, today)
        shown = (
            choice.ranked[:1]
            if choice.certain and rows > 1 and _is_text(rest[0])
            else choice.ranked[:rows]
        )
        lines += [describe_record(record) for record in shown]
        if len(rest) > len(shown) and not _is_text(rest[0]) and rows > 1:
            lines.append(f"({len(rest) - len(shown)} more.)")
    return "\n".join(lines)


def _plain_fields(result: dict[str, Any]) -> bool:
    return any(isinstance(value, str | int | float | bool) for value in result.values())


def _is_text(record: Record) -> bool:
    return any(
        isinstance(record.fields.get(key), str) and len(record.fields[key]) > 40
        for key in _TELLING_KEYS
    )


def describe_record(record: Record) -> str:
    """One record in words: its title and text where it has them, else its facts."""
    fields = record.fields
    title = next((str(fields[key]) for key in _TITLE_KEYS if fields.get(key)), None)
    told = next(
        (key for key in _TELLING_KEYS if isinstance(fields.get(key), str) and fields[key]), None
    )
    if told is not None and (_is_text(record) or len(fields) <= 2):
        body = fields[told][:_MAX_TEXT]
        return f"{title}: {body}" if title else body
    shown = [
        f"{humanise(key)}: {_value(value)}"
        for key, value in fields.items()
        if key not in _HIDDEN_KEYS and value != "" and str(value) != title
    ][:_MAX_FACTS]
    facts = ", ".join(shown)
    if title and facts:
        return f"{title} ({facts})"
    return title or (facts[:1].upper() + facts[1:])


def humanise(name: str) -> str:
    """An identifier as words."""
    return " ".join(name_words(name)) or name


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    moment = re.match(r"^(\d{4}-\d{2}-\d{2})T\d{2}:\d{2}", text)
    return moment[1] if moment else text[:200]


def _with(arguments: dict[str, Any]) -> str:
    shown = [
        f"{humanise(key)} {_value(value)}"
        for key, value in arguments.items()
        if not (isinstance(value, str) and len(value) > 60)
    ]
    return f" ({', '.join(shown)})" if shown else ""


def ask_for(spec: ToolSpec, missing: Sequence[Parameter]) -> str:
    """A question for the arguments that only the customer can give."""
    wanted = _join([_label(parameter) for parameter in missing], "and")
    return f"{_purpose(spec)} I need {wanted}. Could you tell me?"


def ask_which(spec: ToolSpec, candidates: Sequence[Record]) -> str:
    """A question that lets the customer choose among records."""
    lines = "\n".join(f"- {describe_record(record)}" for record in candidates[:5])
    return f"{_purpose(spec)} I need to know which one you mean. I see:\n{lines}\nWhich one is it?"


def offer(spec: ToolSpec) -> str:
    """A question that offers a change which the words suggest without asking for it."""
    return f"Would you like me to {spec.phrase}?"


def _purpose(spec: ToolSpec) -> str:
    opening = name_words(spec.name)[:1]
    is_verb = bool(opening) and opening[0] in READ_VERBS | WRITE_VERBS
    return f"To {spec.phrase}" if is_verb else f"For {spec.phrase}"


def _label(parameter: Parameter) -> str:
    said = re.split(r"[.;:(\n]", parameter.description)[0].strip()
    said = re.sub(r"^(?:the|an?)\s+", "", said, flags=re.IGNORECASE)
    name = humanise(parameter.name)
    label = f"the {name}"
    if said and len(said) <= 80 and said.lower() != name:
        label += f" ({said[:1].lower() + said[1:]})"
    if parameter.enum:
        label += f" ({_join([str(value) for value in parameter.enum[:8]], 'or')})"
    return label


def _join(parts: Sequence[str], word: str) -> str:
    if len(parts) < 2 or not word:
        return ", ".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"
