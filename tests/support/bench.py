"""A running fleet of the parcels agent, and what tests do with it."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from kombu import Connection, Exchange, Producer

from fleet_contracts.outcome import TaskView
from fleet_contracts.topology import agent_address
from fleet_workers.models.control import CONTROL_NAMES
from fleet_workers.store import dead_letters, views
from fleet_workers.store.dead_letters import DeadLetter
from fleet_workers.testing import (
    Reply,
    answer,
    call,
)
from fleet_workers.testing.replies import Says
from support.fleet_processes import Fleet, FleetProcess
from support.parcel_shop import ParcelShop
from support.stacks import Stack


@dataclass
class Bench:
    """A running fleet, its shop, and the scripts of its model by the `[key]` in a task's text."""

    fleet: Fleet
    shop: ParcelShop
    worker: FleetProcess
    shop_url: str
    scripts: dict[str, list[Reply]] = field(default_factory=dict)


TRACK_AND_TELL = [call("track_parcel", order_id="ord_7"), answer("It is in Lyon.")]


def script(bench: Any, *lines: Reply) -> str:
    """Give the model a script for a new task; the text of that task holds its key."""
    key = uuid4().hex[:12]
    bench.scripts[key] = list(lines)
    return f"Where is ord_7? {what_is_asked(lines)} [{key}]"


def what_is_asked(lines: Iterable[Reply]) -> str:
    """What the calls of a script are about, as a customer names it: so nothing is ungrounded."""
    made = [call for line in lines if isinstance(line, Says) for call in line.calls]
    values = [each for name, text in made if name not in CONTROL_NAMES for each in _values(text)]
    return f"It is about {', '.join(dict.fromkeys(values))}." if values else ""


def _values(arguments: str) -> list[str]:
    try:
        return [str(each) for each in json.loads(arguments).values()]
    except ValueError:  # a script of a model that is out of its mind
        return []


def until(condition: Callable[[], Any], *, seconds: float = 20.0, what: str = "it") -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds:g} s"
        time.sleep(0.05)
    return value


def view(stack: Stack, task_id: UUID) -> TaskView | None:
    with stack.engine.begin() as connection:
        return views.view(connection, task_id, tenant=None)


def dead_letter_of(stack: Stack, marker: str) -> DeadLetter | None:
    with stack.engine.begin() as connection:
        found = dead_letters.unsettled(connection, limit=200)
    return next((each for each in found if marker in each.body), None)


def publish(stack: Stack, body: Any, *, agent: str = "parcels", **properties: Any) -> None:
    """Put a message on an agent's queue, as any program could."""
    with Connection(stack.broker_url) as connection:
        exchange = Exchange("agents", type="topic", durable=True)
        Producer(connection.channel(), exchange, auto_declare=False).publish(
            body, routing_key=agent_address(agent), **properties
        )
