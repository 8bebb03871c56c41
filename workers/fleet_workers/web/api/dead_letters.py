"""What the fleet gave up: list, group, read and discard. Replaying has a file of its own."""

from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from fleet_workers.deadletters.replay import discard_letter, find_letter
from fleet_workers.store import dead_letters
from fleet_workers.store.dead_letters import CauseGroup, DeadLetter, DeadLetterFilter
from fleet_workers.web.access import DeskReader, Operator
from fleet_workers.web.api import replays
from fleet_workers.web.letters import OperatorBody, body_schema, filter_of, parse_body
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])
router.include_router(replays.router)

_SETTLED = {"unsettled": False, "settled": True, "all": None}


class LetterQuery(DeadLetterFilter):
    """Which letters are listed. `before` is the last id of the page before this one."""

    state: Literal["unsettled", "settled", "all"] = "unsettled"
    group: Literal["cause"] | None = None
    before: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200, description="Rows at most.")] = 50


class DeadLetterList(BaseModel):
    """Dead letters, newest first. `unsettled` counts all that nobody replayed or discarded.

    `next` is what to send as `before` for the page that follows; null on the last one.
    """

    model_config = ConfigDict(frozen=True)

    dead_letters: list[DeadLetter]
    unsettled: int
    next: UUID | None = None


class CauseList(BaseModel):
    """Dead letters by cause, the cause with the most letters first."""

    model_config = ConfigDict(frozen=True)

    causes: list[CauseGroup]


class Discard(BaseModel):
    """Why a letter is of no more use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=500)]


@router.get("", responses=documented())
def list_dead_letters(
    resources: Resources, holder: DeskReader, query: Annotated[LetterQuery, Query()]
) -> DeadLetterList | CauseList:
    """What the fleet gave up, and why; with `group=cause`, how often."""
    wanted = filter_of(holder, query)
    settled = _SETTLED[query.state]
    with resources.transaction() as connection:
        if query.group is not None:
            groups = dead_letters.group(connection, wanted, settled=settled, limit=query.limit)
            return CauseList(causes=groups)
        found = dead_letters.find(
            connection, wanted, settled=settled, before=query.before, limit=query.limit
        )
        unsettled = dead_letters.count_unsettled(connection, tenant=holder.sees)
    more = len(found) == query.limit
    return DeadLetterList(
        dead_letters=found, unsettled=unsettled, next=found[-1].id if more else None
    )


@router.get("/{letter_id}", responses=documented(HTTPStatus.NOT_FOUND))
def read_dead_letter(resources: Resources, holder: DeskReader, letter_id: UUID) -> DeadLetter:
    """One dead letter, settled or not."""
    with resources.transaction() as connection:
        return find_letter(connection, letter_id, tenant=holder.sees)


@router.post(
    "/{letter_id}/discard",
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ),
    openapi_extra=body_schema(Discard),
)
def discard_dead_letter(
    resources: Resources, holder: Operator, letter_id: UUID, body: OperatorBody
) -> DeadLetter:
    """Settle a dead letter for good: its task stays dead, the row stays for the record."""
    reason = parse_body(Discard, body).reason
    with resources.transaction() as connection:
        return discard_letter(
            connection, letter_id, by=holder.label, reason=reason, tenant=holder.sees
        )
