"""`fleetctl up|worker|web|janitor`: the fleet's processes."""

import signal
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from fleet_workers.cli.terminal import process_settings
from fleet_workers.settings import announce_ready

commands = typer.Typer()

_FORGOTTEN_EVERY = timedelta(seconds=2)  # it counts all queued tasks
_REPLAYS_EVERY = timedelta(seconds=0.25)
_BROKER_DEAD_EVERY = timedelta(seconds=5)
_AUDIT_EVERY = timedelta(seconds=1)
_OPEN_ANSWERS_SECONDS = 5  # a long poll must not hold up a stop


@commands.command()
def up(
    once: Annotated[bool, typer.Option(help="Stop after the inbox.")] = False,
    inbox: Annotated[Path | None, typer.Option(help="Requests of your own, JSON lines.")] = None,
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = Path(".fleet"),
) -> None:
    """Start a whole fleet on this machine and work through an inbox."""
    from fleet_workers.embedded.up import UpOptions, run_fleet

    raise typer.Exit(run_fleet(UpOptions(once=once, inbox=inbox, folder=folder)))


@commands.command()
def worker(
    agents: Annotated[list[str], typer.Argument(help="Agents to serve; auto does triage.")],
    slots: Annotated[int | None, typer.Option(help="Tasks at once.", min=1, max=1000)] = None,
) -> None:
    """Run a worker process for one or more agents."""
    from fleet_workers.worker.pool import run_worker

    settings = process_settings()
    run_worker(settings, tuple(agents), slots=slots or settings.slots)


@commands.command()
def web(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
) -> None:
    """Run the HTTP API and the console."""
    import uvicorn

    from fleet_workers.web.application import create_app
    from fleet_workers.web.resources import WebResources
    from fleet_workers.wiring import open_core, open_dry_run

    settings = process_settings()
    with open_core(settings, application="web") as core:
        resources = WebResources(
            engine=core.engine,
            catalogue=core.catalogue,
            publish=core.postman.send,
            open_ports=lambda: open_dry_run(settings),
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
    from fleet_workers.deadletters.bulk import work_replays
    from fleet_workers.deadletters.drain import DeadQueueDrain
    from fleet_workers.janitor.audit_seal import AuditSealer
    from fleet_workers.janitor.service import Chore, run_janitor
    from fleet_workers.janitor.sweep import Sweeper
    from fleet_workers.wiring import open_core

    settings = process_settings()
    stopped = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopped.set())
    with open_core(settings, application="janitor") as core:
        sweeper = Sweeper(core.engine, core.postman)
        drain = DeadQueueDrain(
            broker_url=settings.broker_url,
            engine=core.engine,
            catalogue=core.catalogue,
            send=core.postman.send,
        )
        chores = [
            Chore("sweep", sweeper.sweep, every=settings.janitor_interval),
            Chore("forgotten", sweeper.wake_forgotten, every=_FORGOTTEN_EVERY),
            Chore(
                "replays",
                lambda: work_replays(core.engine, core.postman, core.catalogue),
                every=_REPLAYS_EVERY,
            ),
            Chore("broker_dead", drain.drain, every=_BROKER_DEAD_EVERY),
            Chore("audit", AuditSealer(core.engine).seal, every=_AUDIT_EVERY),
        ]
        announce_ready(settings.ready_file)
        with closing(drain):
            run_janitor(chores, stopped=stopped)
