"""When Flower does not start, and whom it asks."""

import os
from typing import Any
from unittest.mock import Mock

import pytest

from fleet_workers.flower.server import ask_new_workers
from support.fleetctl import fleetctl


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "set FLOWER_BASIC_AUTH"),
        ({"FLOWER_BASIC_AUTH": ""}, "FLOWER_BASIC_AUTH"),
        ({"FLOWER_BASIC_AUTH": "fleet:"}, "USER:PASSWORD"),
        ({"FLOWER_BASIC_AUTH": "a:b", "FLOWER_BROKER_API": "somewhere"}, "broker-api"),
    ],
)
def test_it_says_what_is_missing(environment: dict[str, str], words: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FL")}
    done = fleetctl({**kept, **environment}, "flower")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("alive", "told", "asks"),
    [
        ({"billing.1@a": True}, {}, 1),
        ({"billing.1@a": True}, {"billing.1@a": {"stats": {}}}, 1),
        ({"billing.1@a": True}, {"billing.1@a": {"active_queues": []}}, 0),
        ({"billing.1@a": False}, {}, 0),
        ({}, {}, 0),
    ],
)
def test_a_worker_that_came_later_is_asked_once(
    alive: dict[str, bool], told: dict[str, Any], asks: int
) -> None:
    server: Any = Mock(workers=told)
    server.events.state.workers = {name: Mock(alive=is_up) for name, is_up in alive.items()}
    ask_new_workers(server)
    assert server.update_workers.call_count == asks
