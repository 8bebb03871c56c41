"""`fleetctl schedules`: tasks that come by the clock."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.markup import escape

from fleet_contracts.envelope import AUTO_AGENT, Priority
from fleet_contracts.errors import InvalidInput
from fleet_workers.cli.terminal import (
    console,
    moment_text,
    new_table,
    operator,
    require_tenant,
    store_transaction,
)
from fleet_workers.settings import load_settings
from fleet_workers.store import cron, schedule_runs, schedules
from fleet_workers.store.schedule_models import Change, Missed, NewSchedule, Schedule

commands = typer.Typer(help="Tasks that come by the clock.", no_args_is_help=True)

_MOST_SHOWN = 10_000
Name = Annotated[str, typer.Argument(help="The schedule's name.")]
OfTenant = Annotated[
    str | None, typer.Option("--tenant", help="Whose it is; needed where several have the name.")
]


@commands.command("list")
def list_schedules(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
) -> None:
    """Print all schedules: when they come, when next, and what came of the last time."""
    with store_transaction() as connection:
        found = schedules.listed(connection, tenant=tenant, limit=_MOST_SHOWN)
    table = new_table(
        "name", "tenant", "agent", "cron", "zone", "missed", "next (UTC)", "last (UTC)", "trouble"
    )
    for each in found:
        coming = moment_text(each.next_at) if each.enabled else "disabled"
        row = (each.name, each.tenant, each.agent, each.cron, each.zone, each.missed, coming)
        table.add_row(*map(escape, (*row, moment_text(each.last_at), each.last_error or "")))
    console.print(table)


@commands.command("add")
def add_schedule(  # noqa: PLR0917 - typer makes options of them, nobody calls it by position
    name: Name,
    tenant: Annotated[str, typer.Option(help="Whose tasks they are.")],
    cron_text: Annotated[str, typer.Option("--cron", help='Such as "30 8 * * MON-FRI".')],
    text: Annotated[str | None, typer.Option(help="What each task asks for.")] = None,
    zone: Annotated[str, typer.Option(help="Whose clocks count, such as Europe/Berlin.")] = "UTC",
    agent: Annotated[str | None, typer.Option(help="An agent's name; auto if not given.")] = None,
    customer: Annotated[str | None, typer.Option(help="Whom the tasks are about.")] = None,
    data: Annotated[str | None, typer.Option(help="A JSON object for the agent's tools.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="How urgent they are.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A JSON file with these and other fields of the tasks.")
    ] = None,
    missed: Annotated[
        Missed, typer.Option(help="Of times that nobody was there for: run the last, none, or all.")
    ] = Missed.ONCE,
    disabled: Annotated[bool, typer.Option("--disabled", help="Do not begin yet.")] = False,
) -> None:
    """Let a task come by the clock."""
    said = {
        "input": text,
        "agent": agent,
        "customer": customer,
        "data": None if data is None else _object(data, "--data"),
        "priority": priority,
    }
    task = _read(file) | {key: value for key, value in said.items() if value is not None}
    new = NewSchedule(
        tenant=tenant,
        name=name,
        cron=cron_text,
        zone=zone,
        missed=missed,
        task=task,
        enabled=not disabled,
    )
    _require_agent(str(task.get("agent", AUTO_AGENT)))
    with store_transaction() as connection:
        require_tenant(connection, tenant)
        added = schedules.add(connection, new, by=operator())
    _say(f"{name} is added. {_when(added)}")


@commands.command("remove")
def remove_schedule(name: Name, tenant: OfTenant = None) -> None:
    """Remove a schedule; tasks that it has made stay."""
    with store_transaction() as connection:
        found = schedules.by_name(connection, name, tenant=tenant)
        schedules.remove(connection, found, by=operator())
    _say(f"{name} of {found.tenant} is removed.")


@commands.command("enable")
def enable_schedule(name: Name, tenant: OfTenant = None) -> None:
    """Let a schedule come again, from its next time on."""
    _switch(name, tenant, enabled=True)


@commands.command("disable")
def disable_schedule(name: Name, tenant: OfTenant = None) -> None:
    """Let a schedule come no more, until it is enabled."""
    _switch(name, tenant, enabled=False)


@commands.command("run")
def run_schedule(name: Name, tenant: OfTenant = None) -> None:
    """Make the task of a schedule now, beside its times, and print the task's id."""
    with store_transaction() as connection:
        found = schedules.by_name(connection, name, tenant=tenant)
        _require_agent(found.agent)
        fired = schedule_runs.run_now(connection, found, by=operator())
    _say(str(fired.task_id))


@commands.command("next")
def show_next(
    name: Name,
    tenant: OfTenant = None,
    count: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 5,
) -> None:
    """Print when a schedule comes next, by the clocks of its zone and in UTC."""
    with store_transaction() as connection:
        found = schedules.by_name(connection, name, tenant=tenant)
    if not found.enabled:
        console.print("It is disabled. Enabled, it would come at:", highlight=False)
    for each in cron.coming(found.cron, found.zone, datetime.now(UTC), number=count):
        local = each.astimezone(ZoneInfo(found.zone)).isoformat(timespec="seconds")
        _say(f"{local}  {each.isoformat(timespec='seconds')}")


def _switch(name: str, tenant: str | None, *, enabled: bool) -> None:
    with store_transaction() as connection:
        found = schedules.by_name(connection, name, tenant=tenant)
        changed = schedules.change(connection, found, Change(enabled=enabled), by=operator())
    _say(f"{name} is {'enabled' if enabled else 'disabled'}. {_when(changed)}")


def _when(schedule: Schedule) -> str:
    if not schedule.enabled:
        return "It does not come until it is enabled."
    return f"It comes next at {moment_text(schedule.next_at)}."


def _require_agent(name: str) -> None:
    from fleet_workers.agents import load_catalogue

    if name != AUTO_AGENT:
        load_catalogue(load_settings().agents_path).get(name)


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return _object(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where} is no JSON ({error}).") from error
    if not isinstance(found, dict):
        raise InvalidInput(f'{where} is no JSON object like {{"invoice": "INV-1"}}.')
    return found


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
