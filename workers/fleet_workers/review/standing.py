"""Where a new item stands in the queue, and the lines that a list shows of it."""

import json
from collections.abc import Mapping
from typing import Any

from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents.review_rules import ReviewRules, place
from fleet_workers.store.reviews import Standing

_LINE = 160  # what fits beside the other columns on a wide screen


def standing_of(rules: ReviewRules, kind: ReviewKind, packet: Mapping[str, Any]) -> Standing:
    """The standing of an item by its agent's rules."""
    placement = place(rules, kind)
    customer, confidence = packet.get("customer"), packet.get("confidence")
    return Standing(
        priority=placement.priority,
        due=placement.due,
        group=placement.group,
        skills=placement.skills,
        escalates=placement.escalates_after(0),
        request_line=one_line(packet.get("request")),
        proposal_line=proposal_line(packet),
        customer=customer if isinstance(customer, str) else None,
        confidence=float(confidence) if isinstance(confidence, int | float) else None,
    )


def proposal_line(packet: Mapping[str, Any]) -> str:
    """What the agent would do or say, in a line; empty where it proposes nothing."""
    proposal = packet.get("proposal")
    if not isinstance(proposal, Mapping):
        return ""
    if "tool" in proposal:
        arguments = proposal.get("arguments")
        told = arguments if isinstance(arguments, Mapping) else {}
        values = ", ".join(f"{name} {_plain(value)}" for name, value in told.items())
        return one_line(f"{proposal['tool']}: {values}" if values else proposal["tool"])
    if proposal.get("agent"):
        return one_line(f"give it to {proposal['agent']}")
    return one_line(proposal.get("answer"))


def one_line(value: object) -> str:
    """A text without line breaks, cut to what a list shows."""
    text = " ".join(str(value or "")[: _LINE * 4].replace("\x00", "\u2400").split())
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}\u2026"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
