"""`fleetctl up|worker|web|janitor`: the fleet's processes."""

import os
import signal
import sys
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from fleet_workers.cli.terminal import process_settings
from fleet_workers.desk_file import DeskFile, load_desk_file
from fleet_workers.settings import Settings, announce_ready

if TYPE_CHECKING:
    from fleet_workers.deadletters.drain import DeadQueueDrain
    from fleet_workers.janitor.service import Chore
    from fleet_workers.resilience.redis_link import RedisLink
    from fleet_workers.wiring import Core

commands = typer.Typer()

_FORGOTTEN_EVERY = timedelta(seconds=2)  # it counts all queued tasks
_REPLAYS_EVERY = timedelta(seconds=0.25)
_BROKER_DEAD_EVERY = timedelta(seconds=5)
_AUDIT_EVERY = timedelta(seconds=1)
_ESCALATIONS_EVERY = timedelta(seconds=5)
_QUALITY_EVERY = timedelta(seconds=5)
_SESSIONS_EVERY = timedelta(hours=1)
_RESERVATIONS_EVERY = timedelta(minutes=1)
_CACHE_EVERY = timedelta(minutes=1)
_EVENTS_EVERY = timedelta(seconds=0.25)
_ANNOUNCEMENTS_EVERY = timedelta(seconds=1)
_NOTICES_EVERY = timedelta(seconds=15)
_DELIVERIES_TIDY_EVERY = timedelta(minutes=10)
_OPEN_ANSWERS_SECONDS = 5  # a long poll must not hold up a stop


@commands.command()
def up(
    once: Annotated[bool, typer.Option(help="Stop after the inbox.")] = False,
    inbox: Annotated[Path | None, typer.Option(help="Requests of your own, JSON lines.")] = None,
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = Path(".fleet"),
    scale: Annotated[
        list[str] | None,
        typer.Option(help="Worker processes of a pool, fewest and most, as billing=1:4."),
    ] = None,
) -> None:
    """Start a whole fleet on this machine and work through an inbox."""
    from fleet_workers.embedded.up import UpOptions, run_fleet

    raise typer.Exit(
        run_fleet(UpOptions(once=once, inbox=inbox, folder=folder, scale=tuple(scale or ())))
    )


@commands.command()
def worker(
    agents: Annotated[list[str], typer.Argument(help="Agents to serve; auto does triage.")],
    slots: Annotated[int | None, typer.Option(help="Tasks at once.", min=1, max=1000)] = None,
) -> None:
    """Run a worker process for one or more agents."""
    from fleet_workers.worker.pool import run_worker

    settings = process_settings("worker")
    run_worker(settings, tuple(agents), slots=slots or settings.slots)


@commands.command()
def web(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
) -> None:
    """Run the HTTP API and the console."""
    import uvicorn

    from fleet_workers.models.capabilities import read_unserved
    from fleet_workers.resilience.breaker_records import read_records
    from fleet_workers.resilience.redis_link import open_link
    from fleet_workers.telemetry.exposition import note_build, noted_target
    from fleet_workers.web.application import create_app
    from fleet_workers.web.queue_depths import QueueDepths
    from fleet_workers.web.resources import WebResources
    from fleet_workers.web.setup import console_settings
    from fleet_workers.wiring import open_core, open_dry_run, open_limits

    settings = process_settings("web")
    console = console_settings(load_desk_file(settings.desk), os.environ)
    note_build("web")
    # uvicorn raises the signal again once it has stopped: what is open here is to be closed, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with (
        noted_target(settings, "web", host, port),
        open_core(settings, application="web") as core,
        open_limits(settings) as limits,
        closing(open_link(settings.redis_url)) as link,
    ):
        resources = WebResources(
            engine=core.engine,
            catalogue=core.catalogue,
            publish=core.postman.send,
            open_ports=lambda: open_dry_run(settings),
            read_breakers=lambda: read_records(link),
            read_unserved=lambda: read_unserved(link),
            remember=core.memory.remember,
            queue_depths=QueueDepths(core.postman.count_messages),
            console=console,
            limits=limits,
            minutes_saved=settings.minutes_saved,
        )
        uvicorn.run(
            create_app(resources),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_OPEN_ANSWERS_SECONDS,
        )


@commands.command()
def janitor() -> None:
    """Run a janitor: it recovers what dead workers and lost messages left behind."""
    from fleet_workers.deadletters.drain import DeadQueueDrain
    from fleet_workers.intake.assembly import intake_at_work
    from fleet_workers.janitor.bulk import bulk_at_work
    from fleet_workers.janitor.couriers import couriers_at_work
    from fleet_workers.janitor.event_publisher import events_at_work
    from fleet_workers.janitor.retention import retention_at_work
    from fleet_workers.janitor.service import run_janitor
    from fleet_workers.resilience.redis_link import open_link
    from fleet_workers.telemetry.exposition import served_meters
    from fleet_workers.wiring import open_core

    settings = process_settings("janitor")
    desk = load_desk_file(settings.desk)
    stopped = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopped.set())
    with (
        served_meters(settings, "janitor"),
        open_core(settings, application="janitor") as core,
        closing(open_link(settings.redis_url)) as link,
        couriers_at_work(core.engine, desk, os.environ),
        bulk_at_work(settings, core.engine),
        retention_at_work(core.engine, desk.retention, forget=core.memory.forget),
        events_at_work(settings, core.engine),
        intake_at_work(settings, core.engine, core.catalogue, send=core.postman.send),
    ):
        drain = DeadQueueDrain(
            broker_url=settings.broker_url,
            engine=core.engine,
            catalogue=core.catalogue,
            send=core.postman.send,
        )
        chores = [*_chores(settings, core, drain, desk), *_desk_chores(core, desk, link)]
        announce_ready(settings.ready_file)
        with closing(drain):
            run_janitor(chores, stopped=stopped)


def _chores(
    settings: Settings, core: "Core", drain: "DeadQueueDrain", desk: DeskFile
) -> list["Chore"]:
    """All that a janitor does, in the order in which it does it where several are due."""
    from fleet_workers.deadletters.bulk import work_replays
    from fleet_workers.janitor.audit_seal import AuditSealer
    from fleet_workers.janitor.desk_sessions import delete_ended_sessions
    from fleet_workers.janitor.escalate import Escalator
    from fleet_workers.janitor.plan_cache import tidy_plan_cache
    from fleet_workers.janitor.reservations import close_reservations
    from fleet_workers.janitor.sample import QualityClerk
    from fleet_workers.janitor.schedules import ScheduleClerk, clock_chores
    from fleet_workers.janitor.service import Chore
    from fleet_workers.janitor.sweep import Sweeper

    engine, postman, catalogue = core.engine, core.postman, core.catalogue
    sweeper = Sweeper(engine, postman, remember=core.memory.remember)
    clerk = QualityClerk(engine, catalogue=catalogue, section=desk.sampling, send=postman.send)
    escalator = Escalator(engine, postman, catalogue)
    by_clock = ScheduleClerk(engine, catalogue, send=postman.send)
    replay = partial(work_replays, engine, postman, catalogue)
    forget = partial(delete_ended_sessions, engine, idle=desk.sign_in.idle)
    tidy_cache = partial(tidy_plan_cache, engine, most_per_tenant=settings.cache_entries)
    return [
        Chore("sweep", sweeper.sweep, every=settings.janitor_interval),
        *clock_chores(by_clock, every=settings.janitor_interval),
        Chore("forgotten", sweeper.wake_forgotten, every=_FORGOTTEN_EVERY),
        Chore("replays", replay, every=_REPLAYS_EVERY),
        Chore("broker_dead", drain.drain, every=_BROKER_DEAD_EVERY),
        Chore("audit", AuditSealer(engine).seal, every=_AUDIT_EVERY),
        Chore("escalations", escalator.work, every=_ESCALATIONS_EVERY),
        Chore("quality", clerk.work, every=_QUALITY_EVERY),
        Chore("desk_sessions", forget, every=_SESSIONS_EVERY),
        Chore("reservations", partial(close_reservations, engine), every=_RESERVATIONS_EVERY),
        Chore("plan_cache", tidy_cache, every=_CACHE_EVERY),
    ]


def _desk_chores(core: "Core", desk: DeskFile, link: "RedisLink") -> list["Chore"]:
    """What is told to the outside: noted here, and sent by couriers in threads of their own."""
    from fleet_workers.janitor.agent_troubles import TroubleFinder
    from fleet_workers.janitor.deliver import Announcer, give_up_stale
    from fleet_workers.janitor.event_clerk import EventClerk
    from fleet_workers.janitor.notices import NoticeClerk
    from fleet_workers.janitor.service import Chore
    from fleet_workers.resilience.breaker_records import read_records

    announcer = Announcer(core.engine, desk.webhooks)
    finder = TroubleFinder(core.catalogue, lambda: read_records(link))
    clerk = NoticeClerk(core.engine, desk, finder)
    return [
        Chore("announcements", announcer.announce, every=_ANNOUNCEMENTS_EVERY),
        Chore("events", EventClerk(core.engine, desk.webhooks).work, every=_EVENTS_EVERY),
        Chore("notices", clerk.work, every=_NOTICES_EVERY),
        Chore("deliveries", partial(give_up_stale, core.engine), every=_DELIVERIES_TIDY_EVERY),
    ]
