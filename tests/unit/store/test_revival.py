"""Only a dead task comes back, whatever was seen before."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from fleet_contracts.states import TaskState
from fleet_workers.store import revival
from support.graveyard import Graveyard


@pytest.fixture
def graveyard(engine: Engine) -> Graveyard:
    return Graveyard.emptied(engine)


@pytest.mark.parametrize("state", [each for each in TaskState if each is not TaskState.DEAD])
def test_a_task_in_another_state_stays_as_it_is(graveyard: Graveyard, state: TaskState) -> None:
    task_id = graveyard.dead().task_id
    assert task_id is not None
    graveyard.set_task(task_id, state=state)
    before = graveyard.task(task_id)
    with graveyard.engine.begin() as connection:
        assert not revival.revive(connection, task_id)
    assert graveyard.task(task_id) == before


def test_of_many_at_once_one_revives_a_task(graveyard: Graveyard) -> None:
    task_id = graveyard.dead().task_id
    assert task_id is not None

    def revive(_: int) -> bool:
        with graveyard.engine.begin() as connection:
            return revival.revive(connection, task_id)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(revive, range(8))) == 1
    assert graveyard.task(task_id).epoch == 4
