"""What is trusted when a plan was made: the request, the records read by then, and no more."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from fleet_workers.controller.situation import Situation
from fleet_workers.models.messages import Message
from fleet_workers.rails.normalise import normalise
from fleet_workers.rails.provenance import (
    Lookup,
    Provenance,
    Scalar,
    TrustedTexts,
    leaves,
    record_groups,
    values_of_fields,
    without_fields,
)
from fleet_workers.store.journal import Step, StepKind, StepState
from fleet_workers.tools import Tool

TAINTED_TURN = "tainted"
"""Key of a session's turn that was said after untrusted text had been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The standing of one plan.

    `untrusted` are the texts that were read before it and could have been written by anybody,
    `suspicious` those that came with signs of an instruction in them. `sensitive` are values that
    may go nowhere unasked.
    """

    provenance: Provenance
    untrusted: tuple[str, ...]
    suspicious: tuple[str, ...]
    sensitive: frozenset[str]

    @property
    def is_tainted(self) -> bool:
        """Tell whether any untrusted text was read before the plan."""
        return bool(self.untrusted)

    def was_seen(self, value: Scalar) -> bool:
        """Tell whether the value stands, letter for letter, in an untrusted text."""
        return any(str(value) in text for text in self.untrusted)


def trust_before(situation: Situation, seq: int) -> Trust:
    """What was trusted, and what had been read, when the journal's step `seq` was planned."""
    trusted_data, untrusted_data = _split_data(situation)
    turns = [turn for step in situation.steps for turn in _turns(step)]
    said = [str(turn["content"]) for turn in turns if turn.get("role") == "user"]
    asked = normalise(situation.envelope.input).text
    request = [asked, situation.envelope.customer or "", *trusted_data, *said]
    untrusted = untrusted_data + [str(t["content"]) for t in turns if t.get(TAINTED_TURN)]
    texts = TrustedTexts(texts=tuple(filter(None, request)), today=situation.now.date())
    provenance = Provenance(request=texts)
    suspicious: list[str] = []
    sensitive: set[str] = set()
    for step in situation.steps:
        if step.seq >= seq or step.kind is not StepKind.TOOL or step.state is not StepState.DONE:
            continue
        tool = situation.release.tools.get(step.name)
        result = step.result or {}
        read = untrusted_texts(tool, result)
        untrusted += read
        suspicious += read if result.get("signals") else ()
        if tool is not None:
            sensitive.update(str(each) for each in values_of_fields(result, tool.sensitive))
        if tool is not None and tool.trusted and "value" in result:
            provenance.add(_lookup(tool, step, result["value"], provenance))
    return Trust(
        provenance=provenance,
        untrusted=tuple(untrusted),
        suspicious=tuple(suspicious),
        sensitive=frozenset(each for each in sensitive if each),
    )


def untrusted_texts(tool: Tool | None, result: Mapping[str, Any]) -> list[str]:
    """The texts of a result that anybody could have written; all of an unknown tool's are."""
    content = result.get("value", result.get("error"))
    if tool is None or not tool.trusted:
        found: Iterator[Scalar] = leaves(content)
    elif "value" in result:
        found = values_of_fields(content, tool.prose)
    else:
        return []
    return [each for each in found if isinstance(each, str) and each.strip()]


def target_values(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, list[Scalar]]:
    """What a call is about, by argument: all but text for people, defaults, and harmless values."""
    fields = tool.arguments.model_fields
    found = {}
    for name, value in _with_numbers(tool, arguments).items():
        if name in tool.content or value is None:
            continue
        if name in fields and not fields[name].is_required() and value == fields[name].default:
            continue
        free = tool.free.get(name, frozenset())
        values = [each for each in leaves(value) if each not in free]
        if values:
            found[name] = values
    return found


@lru_cache(maxsize=1024)
def choices_of(arguments: type[BaseModel]) -> frozenset[str]:
    """Arguments that choose from a short list, such as a kind or a yes or no."""
    schema = arguments.model_json_schema()
    found = set()
    for name, field in schema.get("properties", {}).items():
        forms = [_resolved(each, schema) for each in (field, *field.get("anyOf", ()))]
        if any(
            "enum" in form or "const" in form or form.get("type") == "boolean" for form in forms
        ):
            found.add(name)
    return frozenset(found)


def _resolved(form: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = form.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = schema.get("$defs", {}).get(name, form)
    return found


def content_values(tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """The texts for people in a call."""
    return [
        each
        for name, value in arguments.items()
        if name in tool.content
        for each in leaves(value)
        if isinstance(each, str)
    ]


def _with_numbers(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with what the tool reads as a number as one: models write it as text, too."""
    try:
        parsed = tool.parse_arguments(arguments)
    except ValueError:  # an earlier release of the tool took other arguments
        return dict(arguments)
    return {
        name: parsed[name] if isinstance(parsed.get(name), Decimal | int | float) else value
        for name, value in arguments.items()
    }


def _lookup(tool: Tool, step: Step, value: Any, provenance: Provenance) -> Lookup:
    targets = target_values(tool, step.request.get("arguments", {}))
    values = [each for each_argument in targets.values() for each in each_argument]
    return Lookup(
        groups=record_groups(without_fields(value, tool.prose)),
        # What a write gave is the record of what was asked for: it passed the gates.
        is_asked=tool.effect == "write" or all(map(provenance.is_determined, values)),
        has_arguments=bool(values),
    )


def _split_data(situation: Situation) -> tuple[list[str], list[str]]:
    """The texts of the envelope's data that are trusted, and those that the agent says are not."""
    names = situation.release.manifest.untrusted_data
    data = situation.envelope.data
    trusted = [str(each) for each in leaves(without_fields(data, names))]
    untrusted = [str(each) for each in values_of_fields(data, names)]
    return trusted, [each for each in untrusted if each.strip()]


def _turns(step: Step) -> Sequence[Message]:
    if step.kind is not StepKind.MEMORY or step.result is None:
        return ()
    return tuple(step.result.get("turns", ()))
