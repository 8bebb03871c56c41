"""The plan lock: once untrusted text was read, only what the request itself asks for may be done.

Untrusted text is what tools bring that anybody could have written: mails, documents, web pages,
descriptions. What was planned before any of it was read follows from the request alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet_workers.controller.situation import Situation
from fleet_workers.controller.trust import Trust, choices_of, content_values, target_values
from fleet_workers.rails.asking import asks_for
from fleet_workers.rails.provenance import Scalar, addresses_in, sentence_pairs, shares_phrase
from fleet_workers.store.journal import StepKind
from fleet_workers.tools import Tool

_SHOWN_CHARACTERS = 80


def ungrounded_arguments(trust: Trust, tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """What a write is about and stands neither in the request nor in anything read.

    A choice from a short list may be a conclusion; what is named or counted may not.
    """
    return [
        f"{name} {_shown(value)}"
        for name, values in target_values(tool, arguments).items()
        if name not in choices_of(tool.arguments)
        for value in values
        if not (trust.provenance.is_known(value) or trust.was_seen(value))
    ]


def lock_reasons(
    trust: Trust, tool: Tool, arguments: Mapping[str, Any], situation: Situation
) -> list[str]:
    """Why a call must not be made without a person's word, in plain words; empty where it may."""
    if not trust.is_tainted:
        return []
    if tool.effect == "read":
        return _of_read(trust, tool, arguments)
    targets = target_values(tool, arguments)
    values = [each for values in targets.values() for each in values]
    reasons = []
    if not _is_asked(trust, tool, values):
        reasons.append(
            f"The request itself does not ask for {tool.name}, and text that others could have "
            "written was read before it was planned."
        )
    reasons += [
        f"{name} {_shown(value)} comes neither from the request nor from a record that the "
        "request tells apart from others."
        for name, each in targets.items()
        for value in each
        if not trust.provenance.is_determined(value)
    ]
    reasons += _of_content(trust, tool, content_values(tool, arguments))
    if not reasons and _is_done_before(tool, targets, situation, trust):
        reasons.append(
            f"{tool.name} was done for this request already; the request names no other."
        )
    return reasons


def _is_asked(trust: Trust, tool: Tool, values: Sequence[Scalar]) -> bool:
    return asks_for(
        trust.provenance.request.texts,
        tool=tool.name,
        asked_by=tool.asked_by,
        names_target=any(
            isinstance(each, str) and trust.provenance.stands_in_request(each) for each in values
        ),
    )


def _of_read(trust: Trust, tool: Tool, arguments: Mapping[str, Any]) -> list[str]:
    """A look-up outside may follow a link that was found, but take nothing along with it."""
    return [
        f"{tool.name} would take {_shown(value)} out of the house, which stands in nothing that "
        "was read."
        for values in target_values(tool, arguments).values()
        for value in values
        if not trust.provenance.is_determined(value) and not trust.was_seen(value)
    ]


def _of_content(trust: Trust, tool: Tool, texts: Sequence[str]) -> list[str]:
    """Text for people may tell what was read, but not carry out what a text that was read asks."""
    loose = [text for text in texts if not trust.provenance.stands_in_request(text)]
    if not loose:
        return []
    reasons = [
        f"The text holds {_shown(address)}, which the request does not name."
        for text in loose
        for address in addresses_in(text)
        if not trust.provenance.is_determined(address)
    ]
    reasons += [
        "The text holds something sensitive that the request does not give away."
        for text in loose
        if any(
            value in text and not trust.provenance.stands_in_request(value)
            for value in trust.sensitive
        )
    ]
    demands = [*trust.suspicious]
    for read in trust.untrusted:
        demands += [
            each
            for each in sentence_pairs(read)
            if asks_for([each], tool=tool.name, asked_by=tool.asked_by, names_target=True)
        ]
    reasons += [
        f"The text repeats words that were read where something asks for {tool.name}."
        for text in loose
        if any(shares_phrase(text, each) for each in demands)
    ]
    return list(dict.fromkeys(reasons))


def _is_done_before(
    tool: Tool, targets: Mapping[str, Sequence[Scalar]], situation: Situation, trust: Trust
) -> bool:
    """Whether the tool did something in this task already, and this call names nobody new."""
    earlier = [
        target_values(tool, step.request.get("arguments", {}))
        for step in situation.steps
        if step.kind is StepKind.TOOL
        and step.name == tool.name
        and "error" not in (step.result or {})
    ]
    if not earlier:
        return False
    named = {
        value
        for values in targets.values()
        for value in values
        if isinstance(value, str)
        and not value.strip()[:1].isdigit()
        and trust.provenance.stands_in_request(value)
    }
    return any(
        named <= {each for values in before.values() for each in values} for before in earlier
    )


def _shown(value: Scalar) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")
