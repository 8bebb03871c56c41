"""Runs a worker process: one pool of slots for one or more agents, until it is told to stop."""

import os
import socket

import structlog
from celery import signals

from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.app import app, consumed_queues
from fleet_workers.settings import Settings, announce_ready
from fleet_workers.store.audit_releases import note_releases
from fleet_workers.store.engine import store_errors
from fleet_workers.tasks import consumer_class, register_tasks
from fleet_workers.wiring import Core, open_core, open_worker
from fleet_workers.worker.apart import run_apart
from fleet_workers.worker.drain import end_after_grace

log = structlog.get_logger()


def run_worker(settings: Settings, agents: tuple[str, ...], *, slots: int) -> None:
    """Consume the queues of `agents` with `slots` tasks at once; returns after a stop signal.

    Raises:
        UnknownAgent: No agent of that name is installed.
        ConfigurationError: A setting or an agent's folder is wrong.
        Unavailable: The store is away.
    """
    with open_core(settings, application=f"worker {' '.join(agents)}", ping=False) as core:
        for agent in agents:
            if agent != AUTO_AGENT:
                core.catalogue.get(agent)
        core.postman.declare(agents)
        _note_releases(core, agents)
        with open_worker(core, isolate=run_apart) as parts:
            register_tasks(app, parts, agents)
            app.conf.task_queues = consumed_queues(agents)
            app.conf.worker_consumer = consumer_class(parts)

            @signals.worker_shutting_down.connect(weak=False)
            def _drain(**_details: object) -> None:
                parts.draining.set()
                end_after_grace(parts, settings.stop_grace)

            @signals.worker_ready.connect(weak=False)
            def _ready(**_details: object) -> None:
                announce_ready(settings.ready_file)
                log.info("worker.ready", agents=agents, slots=slots)

            app.Worker(
                pool="threads",
                concurrency=slots,
                # Two processes of a pool need two names: each has a control queue of its own, and
                # RabbitMQ refuses a second consumer of an exclusive queue.
                hostname=f"{agents[0]}.{os.getpid()}@{socket.gethostname()}",
                loglevel=settings.log_level,
                task_events=True,
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=False,
            ).start()


def _note_releases(core: Core, agents: tuple[str, ...]) -> None:
    releases = [core.catalogue.get(agent).id for agent in agents if agent != AUTO_AGENT]
    with store_errors(), core.engine.begin() as connection:
        new = note_releases(connection, releases, worker=f"{socket.gethostname()}:{os.getpid()}")
    if new:
        log.info("worker.new_releases", releases=new)
