"""Nothing lost, nothing done twice: a fleet under any order of events, on a real store.

A longer run: `FLEET_MACHINE_EXAMPLES=2000 pytest tests/unit/machine`.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine, text

from unit.machine import witness
from unit.machine.rules import FleetMachine

_EXAMPLES = int(os.environ.get("FLEET_MACHINE_EXAMPLES", "40"))
_STEPS = int(os.environ.get("FLEET_MACHINE_STEPS", "30"))


@pytest.fixture
def _witness(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(witness.INSTALL))
        # What is lost with the server is not the subject here, and each commit costs less.
        connection.execute(
            text(
                "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || "
                "' SET synchronous_commit = off'; END $$"
            )
        )
    engine.dispose()


@pytest.mark.timeout(600 + 10 * _EXAMPLES)  # what fails is made small, for five minutes
@pytest.mark.usefixtures("_witness")
def test_whatever_happens_nothing_is_lost_or_done_twice(engine: Engine) -> None:
    FleetMachine.engine = engine
    run_state_machine_as_test(
        FleetMachine,
        settings=settings(
            max_examples=_EXAMPLES,
            stateful_step_count=_STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )
