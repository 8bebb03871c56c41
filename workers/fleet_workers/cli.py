"""`fleetctl`: what operators type.

Each command imports what it runs: a worker needs no web framework, and a list no model client.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from fleet_contracts.errors import FleetError
from fleet_workers.agents import load_catalogue
from fleet_workers.agents.starter import write_starter
from fleet_workers.settings import Settings, announce_ready, load_settings
from fleet_workers.store import accounts, dead_letters, reviews
from fleet_workers.store.engine import store_errors
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.telemetry.sentry import configure_sentry

cli = typer.Typer(help="Operate an Agent Fleet.", no_args_is_help=True, add_completion=False)
agents_cli = typer.Typer(help="Agents that are installed here.", no_args_is_help=True)
db_cli = typer.Typer(help="The store's tables.", no_args_is_help=True)
tenants_cli = typer.Typer(help="Whose tasks the fleet takes.", no_args_is_help=True)
keys_cli = typer.Typer(help="Keys for the HTTP API.", no_args_is_help=True)
reviews_cli = typer.Typer(help="What waits for a person.", no_args_is_help=True)
dead_cli = typer.Typer(help="What the fleet gave up.", no_args_is_help=True)
tools_cli = typer.Typer(help="What agents can do.", no_args_is_help=True)
for _name, _part in {
    "agents": agents_cli,
    "db": db_cli,
    "tenants": tenants_cli,
    "keys": keys_cli,
    "reviews": reviews_cli,
    "dead": dead_cli,
    "tools": tools_cli,
}.items():
    cli.add_typer(_part, name=_name)

console = Console()
_OPEN_ANSWERS_SECONDS = 5  # a long poll must not hold up a stop


def main() -> None:
    """Run a command; an error of the fleet is one line on standard error and exit code 1."""
    try:
        cli()
    except FleetError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 the command line's own output
        sys.exit(1)


def _settings() -> Settings:
    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format)
    configure_sentry(settings.sentry_dsn)
    return settings


@contextmanager
def _store() -> Iterator[Connection]:
    from fleet_workers.wiring import open_core

    with (
        open_core(load_settings(), application="fleetctl") as core,
        store_errors(),
        core.engine.begin() as connection,
    ):
        yield connection


@cli.command()
def up(
    once: Annotated[bool, typer.Option(help="Stop after the inbox.")] = False,
    inbox: Annotated[Path | None, typer.Option(help="Requests of your own, JSON lines.")] = None,
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = Path(".fleet"),
) -> None:
    """Start a whole fleet on this machine and work through an inbox."""
    from fleet_workers.embedded.up import UpOptions, run_fleet

    raise typer.Exit(run_fleet(UpOptions(once=once, inbox=inbox, folder=folder)))


@cli.command()
def worker(
    agents: Annotated[list[str], typer.Argument(help="Agents to serve; auto does triage.")],
    slots: Annotated[int | None, typer.Option(help="Tasks at once.", min=1, max=1000)] = None,
) -> None:
    """Run a worker process for one or more agents."""
    from fleet_workers.worker import run_worker

    settings = _settings()
    run_worker(settings, tuple(agents), slots=slots or settings.slots)


@cli.command()
def web(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
) -> None:
    """Run the HTTP API and the console."""
    import uvicorn

    from fleet_workers.web.application import create_app
    from fleet_workers.web.resources import WebResources
    from fleet_workers.wiring import open_core

    settings = _settings()
    with open_core(settings, application="web") as core:
        resources = WebResources(
            engine=core.engine, catalogue=core.catalogue, publish=core.postman.send
        )
        uvicorn.run(
            create_app(resources),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_OPEN_ANSWERS_SECONDS,
        )


@cli.command()
def janitor() -> None:
    """Run a janitor: it recovers what dead workers and lost messages left behind."""
    from fleet_workers.janitor.service import run_janitor
    from fleet_workers.janitor.sweep import sweep
    from fleet_workers.wiring import open_core

    settings = _settings()
    stopped = Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopped.set())
    with open_core(settings, application="janitor") as core:
        announce_ready(settings.ready_file)
        run_janitor(
            lambda: sweep(core.engine, core.postman),
            every=settings.janitor_interval,
            stopped=stopped,
        )


@db_cli.command("upgrade")
def db_upgrade() -> None:
    """Create the database where it is missing, and bring its tables up to date."""
    from fleet_workers.store import migrate

    settings = load_settings()
    with store_errors():
        migrate.create_database(settings.sqlalchemy_url)
        version = migrate.upgrade(settings.sqlalchemy_url)
    console.print(f"The store is at version {version}.")


@tenants_cli.command("add")
def tenants_add(name: str) -> None:
    """Let a tenant's tasks in."""
    with _store() as connection:
        added = accounts.add_tenant(connection, name)
    console.print(f"Tenant {name} {'added' if added else 'was there already'}.")


@tenants_cli.command("list")
def tenants_list() -> None:
    """Print the names of all tenants."""
    with _store() as connection:
        for name in accounts.tenant_names(connection):
            console.print(name)


@keys_cli.command("create")
def keys_create(
    tenant: Annotated[str, typer.Option(help="Tenant, or * for all.")],
    role: Annotated[str, typer.Option(help=", ".join(accounts.ROLES))] = "producer",
    label: Annotated[str, typer.Option(help="What the key is for.")] = "made by fleetctl",
) -> None:
    """Make a key and print it. It cannot be read again."""
    from fleet_workers.web.keys import create_key
    from fleet_workers.wiring import open_core

    with open_core(load_settings(), application="fleetctl") as core:
        console.print(create_key(core.engine, tenant=tenant, role=role, label=label))


@agents_cli.command("list")
def agents_list() -> None:
    """Print every installed agent with its release and tools."""
    table = Table("agent", "release", "tools", "handles")
    for release in load_catalogue(load_settings().agents_path):
        table.add_row(
            release.name,
            release.id,
            ", ".join(each.name for each in release.tools),
            release.manifest.description,
        )
    console.print(table)


@agents_cli.command("new")
def agents_new(
    name: str,
    folder: Annotated[Path, typer.Option(help="Where to put the agent's folder.")] = Path("agents"),
) -> None:
    """Write the folder of a new agent that runs as it is."""
    written = write_starter(name, folder)
    console.print(f"Wrote {written}. Try it:", soft_wrap=True)
    console.print(f"  export FLEET_AGENTS_PATH={folder.resolve()}", soft_wrap=True)
    console.print(f"  fleetctl agents list\n  fleetctl worker {name}", soft_wrap=True)


@tools_cli.command("list")
def tools_list() -> None:
    """Print every tool with its effect and how a repeat of it is made safe."""
    table = Table("agent", "tool", "effect", "repeat", "stakes", "approval")
    for release in load_catalogue(load_settings().agents_path):
        for each in release.tools:
            rule = release.manifest.approvals.get(each.name)
            approval = "" if rule is None else f"{rule.argument or 'always'} > {rule.above}"
            table.add_row(release.name, each.name, each.effect, each.repeat, each.stakes, approval)
    console.print(table)


@reviews_cli.command("list")
def reviews_list(limit: int = 50) -> None:
    """Print what waits for a person, oldest first."""
    table = Table("id", "tenant", "agent", "kind", "reason", "since")
    with _store() as connection:
        for item in reviews.waiting(connection, tenant=None, limit=limit):
            since = item.created_at.isoformat(timespec="seconds")
            table.add_row(str(item.id), item.tenant, item.agent, item.kind, item.reason, since)
    console.print(table)


@dead_cli.command("list")
def dead_list(limit: int = 50) -> None:
    """Print what the fleet gave up, newest first."""
    table = Table("id", "task", "tenant", "agent", "reason", "error")
    with _store() as connection:
        for letter in dead_letters.unsettled(connection, limit=limit):
            table.add_row(
                str(letter.id),
                str(letter.task_id or ""),
                letter.tenant or "",
                letter.agent or "",
                letter.reason,
                letter.error,
            )
    console.print(table)


if __name__ == "__main__":
    main()
