"""Works bulk replays, a few letters at a time. Any number of processes may do so at once."""

from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.errors import InvalidInput
from fleet_workers.agents import AgentCatalogue
from fleet_workers.broker.postman import Postman
from fleet_workers.deadletters.errors import AlreadySettled
from fleet_workers.deadletters.replay import replay_letter
from fleet_workers.store import replays
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.store.replays import Turn

log = structlog.get_logger()

USUAL_PER_SECOND = 5.0
FASTEST_PER_SECOND = 1000.0
_LETTERS_A_TURN = 50  # savepoints a transaction; PostgreSQL keeps 64 a session in shared memory
_TURNS_A_ROUND = 4  # 200 letters take 0.7 s; then the caller's other work has its turn


def work_replays(
    engine: Engine, postman: Postman, catalogue: AgentCatalogue, *, only: UUID | None = None
) -> int:
    """Replay the letters that open jobs are due to replay now; gives how many were dealt with.

    Each turn is one transaction: the letters, their tasks, their messages in the outbox and the
    job's progress. A process that is killed leaves nothing half done, and no letter is replayed
    twice. `only` works on one job.

    Raises:
        Unavailable: The store is away; turns that have committed stay done.
    """
    dealt_with = 0
    for _ in range(_TURNS_A_ROUND):
        with store_errors(), engine.begin() as connection:
            turn = replays.take_turn(connection, only=only, most=_LETTERS_A_TURN)
            if turn is None:
                break
            wake_ups = _take(connection, turn, catalogue)
        postman.send(wake_ups)
        log.info("replay.turn", job=str(turn.job.id), replayed=len(wake_ups), last=turn.is_last)
        dealt_with += len(turn.letters)
    return dealt_with


def _take(connection: Connection, turn: Turn, catalogue: AgentCatalogue) -> list[Letter]:
    wake_ups: list[Letter] = []
    refusals: list[dict[str, str]] = []
    note = f"replay {turn.job.id}"
    for letter_id in turn.letters:
        try:
            with connection.begin_nested():
                done = replay_letter(
                    connection,
                    letter_id,
                    catalogue=catalogue,
                    by=turn.job.requested_by,
                    tenant=turn.job.tenant,
                    note=note,
                )
        except AlreadySettled:
            continue  # by somebody else, a moment ago
        except InvalidInput as error:
            log.warning("dead_letter.refused", letter=str(letter_id), why=str(error))
            refusals.append({"id": str(letter_id), "code": error.code, "detail": str(error)})
        else:
            wake_ups.append(done.wake_up)
    replays.end_turn(connection, turn, replayed=len(wake_ups), refusals=refusals)
    return wake_ups
