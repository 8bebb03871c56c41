"""Puts changes of tasks in order, and notes those that webhooks want to hear of."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from fleet_contracts.events import TaskEvent
from fleet_workers.desk_file import WebhookSection
from fleet_workers.review.deliveries import webhook_channel
from fleet_workers.store import task_events, views
from fleet_workers.store.deliveries import MAX_AGE, Delivery
from fleet_workers.store.engine import store_errors

_BATCH: Final = 1000
_OF_TASK: Final = "task."


class EventClerk:
    """One round at a time; any number of janitors may have one.

    A webhook is told of what happens from its first round on, and of nothing that is more than a
    day old when a janitor comes to it.
    """

    def __init__(self, engine: Engine, webhooks: Sequence[WebhookSection]) -> None:
        self._engine = engine
        self._wanted = {
            webhook_channel(hook.name): (hook, states)
            for hook in webhooks
            if (states := _states_of(hook))
        }

    def work(self) -> int:
        """Give places to what has none, and note it; gives the number of changes touched.

        Raises:
            Unavailable: The store is away.
        """
        touched = self._give_places()
        for channel, (hook, states) in self._wanted.items():
            touched += self._note(channel, hook, states)
        return touched

    def _give_places(self) -> int:
        with store_errors(), self._engine.begin() as connection:
            if not task_events.has_unplaced(connection):
                return 0
            return task_events.give_places(connection, limit=_BATCH)

    def _note(self, channel: str, hook: WebhookSection, states: Sequence[str]) -> int:
        with store_errors(), self._engine.begin() as connection:
            if not task_events.is_behind(connection, channel):
                return 0
            return task_events.note_for_webhook(
                connection,
                channel=channel,
                states=states,
                tenants=hook.tenants,
                agents=hook.agents,
                age=MAX_AGE,
                limit=_BATCH,
            )


def is_of_task(taken: Delivery) -> bool:
    """Tell whether a delivery tells of a task."""
    return taken.event.startswith(_OF_TASK)


def task_body(connection: Connection, taken: Delivery, hook: WebhookSection) -> str | None:
    """JSON of a delivery about a task; None where the change is not kept any more."""
    task_id, seq = UUID(str(taken.body["task"])), int(str(taken.body["seq"]))
    change = task_events.change(connection, task_id, seq)
    if change is None:
        return None
    if hook.packets:
        view = views.view(connection, task_id, tenant=None)
        change = change.model_copy(update={"task": view})
    values = {"type": taken.event, "timestamp": change.at, "data": change}
    return TaskEvent.model_validate(values).model_dump_json()


def _states_of(hook: WebhookSection) -> tuple[str, ...]:
    return tuple(
        event.removeprefix(_OF_TASK) for event in hook.events if event.startswith(_OF_TASK)
    )
