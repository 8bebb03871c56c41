"""Shows Flower what a slot works on beyond the message that woke it, under the task's own id."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fleet_contracts.topology import agent_address
from fleet_workers.controller.turns import Taken


def shown_to_flower(dispatcher: Callable[[], Any]) -> Callable[[Taken, Callable[[], None]], None]:
    """What works on a task and sends Celery's events about it, as Celery does for a message.

    `dispatcher` gives Celery's event dispatcher, or None while there is no connection. An event
    that is lost costs a line in Flower.
    """

    def tell(kind: str, **fields: Any) -> None:
        events = dispatcher()
        if events is not None and events.enabled:
            with suppress(Exception):  # whatever the broker's client raises, the task goes on
                events.send(kind, **fields)

    def work_and_tell(taken: Taken, work: Callable[[], None]) -> None:
        task_id = str(taken.claim.task_id)
        tell(
            "task-received",
            uuid=task_id,
            name=agent_address(taken.claim.agent),
            args=f"[{task_id}]",
            kwargs="{}",
            root_id=task_id,
            parent_id=None,
            retries=0,
            eta=None,
            expires=None,
        )
        tell("task-started", uuid=task_id)
        begun = time.monotonic()
        work()
        tell("task-succeeded", uuid=task_id, result="None", runtime=time.monotonic() - begun)

    return work_and_tell
