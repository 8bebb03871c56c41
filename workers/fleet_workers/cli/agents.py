"""`fleetctl agents`: what is installed here."""

from pathlib import Path
from typing import Annotated

import typer

from fleet_workers.cli.terminal import console, new_table, operator, store_transaction
from fleet_workers.settings import load_settings
from fleet_workers.store import pauses
from fleet_workers.store.pauses import EVERY

commands = typer.Typer(help="Agents that are installed here.", no_args_is_help=True)


@commands.command("list")
def list_agents() -> None:
    """Print every installed agent with its release and tools."""
    from fleet_workers.agents import load_catalogue

    table = new_table("agent", "release", "tools", "handles")
    for release in load_catalogue(load_settings().agents_path):
        table.add_row(
            release.name,
            release.id,
            ", ".join(each.name for each in release.tools),
            release.manifest.description,
        )
    console.print(table)


@commands.command("new")
def write_agent(
    name: str,
    folder: Annotated[Path, typer.Option(help="Where to put the agent's folder.")] = Path("agents"),
) -> None:
    """Write the folder of a new agent that runs as it is."""
    from fleet_workers.agents.starter import write_starter

    written = write_starter(name, folder)
    console.print(f"Wrote {written}. Try it:", soft_wrap=True)
    console.print(f"  export FLEET_AGENTS_PATH={folder.resolve()}", soft_wrap=True)
    console.print(f"  fleetctl agents list\n  fleetctl worker {name}", soft_wrap=True)


@commands.command("pause")
def pause_agent(
    name: str,
    reason: Annotated[str, typer.Option(help="Why; people who wait read it.")],
    tenant: Annotated[str, typer.Option(help="For this tenant only.")] = EVERY,
) -> None:
    """Let no task of an agent start; those that run stop before their next step."""
    from fleet_workers.agents import load_catalogue

    load_catalogue(load_settings().agents_path).get(name)
    with store_transaction() as connection:
        pauses.pause(connection, agent=name, tenant=tenant, reason=reason, paused_by=operator())
    console.print(f"{name} is paused. Its tasks wait; `fleetctl agents resume {name}` wakes them.")


@commands.command("resume")
def resume_agent(
    name: str, tenant: Annotated[str, typer.Option(help="For this tenant only.")] = EVERY
) -> None:
    """Let an agent's tasks run again."""
    with store_transaction() as connection:
        was_paused = pauses.resume(connection, agent=name, tenant=tenant, resumed_by=operator())
    console.print(f"{name} {'runs again' if was_paused else 'was not paused'}.")


@commands.command("pauses")
def list_pauses() -> None:
    """Print what is paused, agents and tenants."""
    table = new_table("agent", "tenant", "reason", "by", "since")
    with store_transaction() as connection:
        for each in pauses.all_pauses(connection):
            since = each.created_at.isoformat(timespec="seconds")
            table.add_row(each.agent, each.tenant, each.reason, each.paused_by, since)
    console.print(table)
