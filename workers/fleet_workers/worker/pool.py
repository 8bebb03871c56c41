"""Runs a worker process: one pool of slots for one or more agents, until it is told to stop."""

import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import signals
from celery.concurrency.thread import TaskPool

from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.app import app, consumed_queues
from fleet_workers.controller.slots import Slots
from fleet_workers.settings import Settings, announce_ready
from fleet_workers.store.audit_releases import note_releases
from fleet_workers.store.engine import store_errors
from fleet_workers.store.pools import pool_name
from fleet_workers.tasks import consumer_class, register_tasks
from fleet_workers.telemetry.exposition import served_meters
from fleet_workers.telemetry.meters import SLOTS
from fleet_workers.wiring import Core, open_core, open_worker
from fleet_workers.worker.apart import run_apart
from fleet_workers.worker.drain import end_after_grace
from fleet_workers.worker.intake import Intake
from fleet_workers.worker.watched import shown_to_flower

log = structlog.get_logger()

_SPARE_THREADS = 4
_SWITCH_SECONDS = 0.001
"""After so long a thread lets others go on: with Python's 0.005 a message waits for several."""


def run_worker(settings: Settings, agents: tuple[str, ...], *, slots: int) -> None:
    """Consume the queues of `agents` with `slots` tasks at once; returns after a stop signal.

    Raises:
        UnknownAgent: No agent of that name is installed.
        ConfigurationError: A setting or an agent's folder is wrong.
        Unavailable: The store is away.
    """
    SLOTS.set(slots)
    sys.setswitchinterval(_SWITCH_SECONDS)
    with (
        served_meters(settings, "worker"),
        open_core(settings, application=f"worker {' '.join(agents)}", ping=False) as core,
    ):
        for agent in agents:
            if agent != AUTO_AGENT:
                core.catalogue.get(agent)
        core.postman.declare(agents)
        _note_releases(core, agents)
        with open_worker(core, isolate=run_apart, serves=agents, slots=slots) as parts:
            work = Slots(
                parts.executor,
                number=slots,
                start=lambda job: worker.pool.executor.submit(job),  # noqa: PLW0108 made below
                draining=parts.draining,
                around=shown_to_flower(lambda: worker.consumer.event_dispatcher),
            )
            intake = Intake(parts, work)
            intake.start()
            register_tasks(app, parts, work, agents)
            app.conf.task_queues = consumed_queues(agents)
            app.conf.worker_consumer = consumer_class(parts, work, intake.put)

            @signals.worker_shutting_down.connect(weak=False)
            def _drain(**_details: object) -> None:
                parts.draining.set()
                parts.leases.rename(pool_name(agents, slots, worker=_name(), is_draining=True))
                end_after_grace(parts, settings.stop_grace)

            @signals.worker_ready.connect(weak=False)
            def _ready(**_details: object) -> None:
                work.look_out()
                announce_ready(settings.ready_file)
                log.info("worker.ready", agents=agents, slots=slots)

            worker: Any = app.Worker(
                pool=SlotPool,
                concurrency=slots,
                # Two processes of a pool need two names: each has a control queue of its own, and
                # RabbitMQ refuses a second consumer of an exclusive queue.
                hostname=f"{agents[0]}.{os.getpid()}@{socket.gethostname()}",
                loglevel=settings.log_level,
                quiet=True,  # a banner is no line of a log
                task_events=True,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=False,
            )
            worker.start()


class SlotPool(TaskPool):
    """Celery's pool of threads, with some for messages that need no slot."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.executor = ThreadPoolExecutor(max_workers=self.limit + _SPARE_THREADS)


def _note_releases(core: Core, agents: tuple[str, ...]) -> None:
    releases = [core.catalogue.get(agent).id for agent in agents if agent != AUTO_AGENT]
    with store_errors(), core.engine.begin() as connection:
        new = note_releases(connection, releases, worker=_name())
    if new:
        log.info("worker.new_releases", releases=new)


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
