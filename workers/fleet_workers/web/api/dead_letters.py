"""What the fleet gave up: `GET /v1/dead-letters`."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from fleet_workers.store import dead_letters
from fleet_workers.store.dead_letters import DeadLetter
from fleet_workers.web.access import DeskReader
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])


class DeadLetterList(BaseModel):
    """Dead letters not yet replayed or discarded, newest first. `unsettled` counts all of them."""

    model_config = ConfigDict(frozen=True)

    dead_letters: list[DeadLetter]
    unsettled: int


@router.get("", responses=documented())
def list_dead_letters(
    resources: Resources,
    holder: DeskReader,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows at most.")] = 50,
) -> DeadLetterList:
    """What the fleet gave up, and why."""
    with resources.transaction() as connection:
        return DeadLetterList(
            dead_letters=dead_letters.unsettled(connection, tenant=holder.sees, limit=limit),
            unsettled=dead_letters.count_unsettled(connection, tenant=holder.sees),
        )
