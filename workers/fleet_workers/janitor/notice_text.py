"""Writes a notice as a person reads it, from the templates beside this file."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from fleet_contracts.reviews import AgentTrouble, Notice, WaitingReviews
from fleet_workers.review.wording import time_words

_MOST_GROUPS: Final = 50
"""Tenants and groups that a notice lists; of the others it tells how many they are."""


def write_notice(
    *,
    section: str,
    waiting: Sequence[WaitingReviews],
    degraded: Mapping[str, str],
    offline: Mapping[str, str],
    well_again: Sequence[str],
    base_url: str | None,
) -> Notice:
    """The notice with its subject and text; it holds nothing that a customer wrote."""
    shown = sorted(waiting, key=lambda each: (-each.urgent, -each.newly_overdue, -each.new))
    facts = {
        "section": section,
        "waiting": tuple(shown[:_MOST_GROUPS]),
        "degraded": _troubles(degraded),
        "offline": _troubles(offline),
        "well_again": tuple(sorted(well_again)),
        "base_url": base_url.rstrip("/") if base_url else None,
    }
    sums = {
        "more_groups": max(0, len(waiting) - _MOST_GROUPS),
        "new": sum(each.new for each in waiting),
        "urgent": sum(each.urgent for each in waiting),
        "newly_overdue": sum(each.newly_overdue for each in waiting),
    }
    subject = _template("notice_subject.txt").render(facts, **sums)
    text = _template("notice_body.txt").render(facts, **sums)
    return Notice.model_validate({**facts, "subject": subject.strip(), "text": text.lstrip("\n")})


def _troubles(found: Mapping[str, str]) -> tuple[AgentTrouble, ...]:
    return tuple(AgentTrouble(agent=agent, why=why) for agent, why in sorted(found.items()))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # noqa: S701 plain text, which no browser reads as anything else
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["moment"] = time_words
    return environment


def _template(name: str) -> jinja2.Template:
    return _environment().get_template(name)
