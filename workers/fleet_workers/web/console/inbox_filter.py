"""Reads which reviews a list is about out of a page's address, and writes it back into one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fleet_contracts.outcome import ReviewKind
from fleet_contracts.reviews import ReviewPriority
from fleet_workers.agents import AgentCatalogue
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.review_queue import Place, QueueFilter

INBOX = "/console/reviews"
_TEXTS = ("agent", "group", "tenant")
_MARKS = ("mine", "overdue", "free", "skilled")
_NAMES = ("kind", "priority", *_TEXTS, *_MARKS)
_MAX_TEXT = 200
_ON = "1"


def filter_values(said: Mapping[str, str], holder: KeyHolder) -> dict[str, str]:
    """The filter as the fields of its form; what is not known there is left out."""
    values = {name: _clean(said.get(name)) for name in _NAMES}
    if values["kind"] not in frozenset(ReviewKind):
        values["kind"] = ""
    if values["priority"] not in _priorities():
        values["priority"] = ""
    if holder.sees is not None:
        values["tenant"] = ""
    for name in _MARKS:
        values[name] = _ON if values[name] else ""
    return values


def filter_of(values: Mapping[str, str], holder: KeyHolder) -> QueueFilter:
    """The filter itself, no wider than its holder may see."""
    return QueueFilter(
        tenant=holder.sees or values["tenant"] or None,
        agent=values["agent"] or None,
        kind=ReviewKind(values["kind"]) if values["kind"] else None,
        priority=ReviewPriority[values["priority"].upper()] if values["priority"] else None,
        group=values["group"] or None,
        groups=holder.groups,
        mine=holder.label if values["mine"] else None,
        skills=holder.skills if values["skilled"] else None,
        overdue=bool(values["overdue"]),
        unclaimed=bool(values["free"]),
    )


def groups_of(catalogue: AgentCatalogue) -> list[str]:
    """The groups that the agents' files name."""
    rules = [rule for release in catalogue for rule in release.manifest.reviews.values()]
    named = [rule.group for rule in rules]
    named += [step.group for rule in rules for step in rule.escalate or ()]
    return sorted({each for each in named if each is not None})


def address(path: str, values: Mapping[str, Any]) -> str:
    """A page's address with those values that say something."""
    said = {name: value for name, value in values.items() if value}
    return f"{path}?{urlencode(said)}" if said else path


def place_from(text: str) -> Place | None:
    """The place behind which a page begins; None for none, and for what is no place."""
    priority, _, rest = text.partition(" ")
    due_at, _, review_id = rest.partition(" ")
    try:
        place = Place(
            priority=ReviewPriority(int(priority)),
            due_at=datetime.fromisoformat(due_at),
            id=UUID(review_id),
        )
    except ValueError:
        return None
    return place if place.due_at.tzinfo is not None else None


def place_words(place: Place) -> str:
    """A place as `place_from` reads it."""
    return f"{place.priority:d} {place.due_at.isoformat()} {place.id}"


def _priorities() -> list[str]:
    return [each.name.lower() for each in ReviewPriority]


def _clean(value: str | None) -> str:
    text = (value or "").replace("\0", "\u2400").encode("utf-8", "replace").decode()
    return text.strip()[:_MAX_TEXT]
