"""Finds what people decided about requests like this one, for the person who decides now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from fleet_workers.review.binding import Ruling
from fleet_workers.review.likeness import rank
from fleet_workers.review.packet_history import DECIDED_WORDS
from fleet_workers.review.packet_size import shortened
from fleet_workers.review.wording import call_words
from fleet_workers.store import past_decisions
from fleet_workers.store.reviews import ReviewItem

_LOOKED_AT: Final = 500  # 8 ms with their ranking, where their words were met before
_SHOWN: Final = 5
_ALIKE: Final = 0.15
"""Under it two requests share nothing but a word or two that many others hold as well."""
_REQUEST_CHARACTERS: Final = 2_000
_WORDS_CHARACTERS: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDecision:
    """What a person made of an earlier review. `likeness` of its request is from 0 to 1.

    `proposed` is the action or the answer that the agent came with, `said` the person's words.
    """

    review: UUID
    task: UUID
    request: str
    kind: str
    proposed: str
    ruling: str
    decided: str
    said: str
    by: str
    at: datetime
    likeness: float


def similar_decisions(
    connection: Connection, item: ReviewItem, *, limit: int = _SHOWN
) -> list[PastDecision]:
    """Decisions of the same tenant about the same agent's most similar requests, nearest first.

    Looks at the last 500. Costs two statements and some milliseconds; nothing is kept.
    """
    request = item.packet.get("request")
    if not isinstance(request, str) or not request.strip():
        return []
    known = past_decisions.recent_requests(
        connection, tenant=item.tenant, agent=item.agent, but=item.id, limit=_LOOKED_AT
    )
    nearest = rank(request[:_REQUEST_CHARACTERS], [words for _, words in known], at_least=_ALIKE)[
        :limit
    ]
    if not nearest:
        return []
    rows = past_decisions.decisions_of(connection, [known[place][0] for _, place in nearest])
    return [
        _past_decision(rows[known[place][0]], known[place][1], likeness)
        for likeness, place in nearest
        if known[place][0] in rows
    ]


def _past_decision(row: Any, request: str, likeness: float) -> PastDecision:
    known = {each.value for each in Ruling}
    return PastDecision(
        review=row.review_id,
        task=row.task_id,
        request=request,
        kind=row.kind,
        proposed=shortened(_proposed(row.proposed), _WORDS_CHARACTERS),
        ruling=row.ruling,
        decided=DECIDED_WORDS[Ruling(row.ruling)] if row.ruling in known else row.ruling,
        said=shortened(_said(row.decided), _WORDS_CHARACTERS),
        by=row.decided_by,
        at=row.decided_at,
        likeness=round(likeness, 2),
    )


def _proposed(proposed: Mapping[str, Any]) -> str:
    if isinstance(proposed.get("tool"), str):
        arguments = proposed.get("arguments")
        return call_words(proposed["tool"], arguments if isinstance(arguments, Mapping) else {})
    return str(proposed.get("answer") or proposed.get("agent") or "")


def _said(decided: Mapping[str, Any]) -> str:
    if isinstance(decided.get("arguments"), Mapping):
        changed = call_words("with", decided["arguments"])
        return f"{changed} {decided.get('text', '')}".strip()
    return str(decided.get("text") or decided.get("agent") or "")
