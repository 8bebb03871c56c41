"""`fleetctl dead` in processes of its own, on both stacks, where no janitor and no worker runs."""

import re
import signal
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from fleet_workers.store import tables
from support.bench import until
from support.fleetctl import environment_on, fleetctl, start_fleetctl
from support.graveyard import Graveyard
from support.stacks import Stack, open_stack


@pytest.fixture(scope="module", params=["embedded", "rabbitmq"])
def quiet(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with open_stack(request.param) as stack:
        yield stack


@pytest.fixture
def graveyard(quiet: Stack) -> Graveyard:
    return Graveyard.emptied(quiet.engine)


def replayed(graveyard: Graveyard) -> int:
    with graveyard.engine.begin() as connection:
        return connection.execute(select(tables.replays.c.replayed)).scalar() or 0


def test_single_letters_are_replayed_and_refusals_are_said(
    quiet: Stack, graveyard: Graveyard
) -> None:
    letter, gone = graveyard.dead(), graveyard.dead(agent="long_gone")
    done = fleetctl(environment_on(quiet), "dead", "replay", str(letter.id), str(gone.id))
    assert done.returncode == 1
    assert f"{letter.id} replayed: task {letter.task_id} is queued" in done.stdout
    assert re.search(rf"{gone.id} refused: No agent is called 'long_gone'.*parcels", done.stdout)
    assert graveyard.count("outbox") == 0, "the broker has the message"


def test_a_killed_bulk_replay_goes_on_and_replays_each_letter_once(
    quiet: Stack, graveyard: Graveyard
) -> None:
    letters = [graveyard.dead() for _ in range(80)]
    stays = graveyard.dead(agent="frail")
    environment = environment_on(quiet)
    words = ("dead", "replay", "--agent", "parcels", "--rate", "8")
    # When the command is killed in the middle
    first = start_fleetctl(environment, *words)
    until(lambda: replayed(graveyard) >= 8, what="the first letters", seconds=40)
    first.kill()
    said = first.communicate()[0]
    between = replayed(graveyard)
    assert 8 <= between < 80
    assert "No janitor is at work" in said
    time.sleep(1.0)
    assert replayed(graveyard) == between
    # Then interrupted, as by Ctrl-C
    second = start_fleetctl(environment, *words)
    until(lambda: replayed(graveyard) >= between + 4, what="more letters", seconds=40)
    second.send_signal(signal.SIGINT)
    output = second.communicate(timeout=25)[0]
    assert second.returncode == 130, output
    (job,) = re.findall(r"dead replay --resume (\S+)", output)
    assert replayed(graveyard) < 80
    # I expect that it goes on under the same number and ends with each letter replayed once
    third = fleetctl(environment, "dead", "replay", "--resume", job)
    assert third.returncode == 0, third.stdout + third.stderr
    assert "80 replayed, 0 refused." in third.stdout
    assert graveyard.count("replays") == 1
    for letter in letters:
        task = graveyard.task(letter.task_id)
        assert (task.state, task.epoch) == ("queued", 4)
        assert graveyard.read(letter).settled_reason == f"replay {job}"
    assert graveyard.read(stays).settled_at is None
