"""Ends a worker process whose grace is over, and hands back what it could not finish."""

import os
from datetime import timedelta
from threading import Thread
from time import sleep

import structlog

from fleet_contracts.errors import Unavailable
from fleet_workers.controller.run_traces import tell_lost_runs
from fleet_workers.store import outbox, recovery
from fleet_workers.store.engine import store_errors
from fleet_workers.store.run_traces import lost_runs
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.traces import stop_traces
from fleet_workers.wiring import WorkerParts

log = structlog.get_logger()


def end_after_grace(parts: WorkerParts, grace: timedelta) -> None:
    """After `grace`, queue every task that is still held and end this process at once.

    Tasks between two steps go back by themselves when the worker drains; what is left then sits
    in a step longer than the grace. A thread cannot be stopped, so the process ends with it; the
    step stands as started, and whoever takes the task next goes by the tool's repeat safety.
    """

    def end() -> None:
        sleep(grace.total_seconds())
        hand_back_all(parts)
        stop_traces()
        os._exit(0)

    Thread(target=end, name="grace", daemon=True).start()


def hand_back_all(parts: WorkerParts) -> None:
    """Queue every task that this process holds, with its message."""
    held = parts.leases.held
    if not held:
        return
    try:
        with store_errors(), parts.core.engine.begin() as connection:
            queued = recovery.requeue_held(connection, held)
            letters = outbox.wake(connection, queued)
            lost = lost_runs(connection, queued) if traces.live() is not None else []
        tell_lost_runs(lost)
        parts.core.postman.send(letters)
        log.warning("worker.grace_over", handed_back=len(letters))
    except Unavailable as error:
        log.warning("worker.grace_over", error=str(error), left_to_the_janitor=len(held))
