"""`fleetctl agents` and `fleetctl tools`: what is installed here."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from fleet_workers.cli.terminal import console
from fleet_workers.settings import load_settings

commands = typer.Typer(help="Agents that are installed here.", no_args_is_help=True)
tool_commands = typer.Typer(help="What agents can do.", no_args_is_help=True)


@commands.command("list")
def list_agents() -> None:
    """Print every installed agent with its release and tools."""
    from fleet_workers.agents import load_catalogue

    table = Table("agent", "release", "tools", "handles")
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


@tool_commands.command("list")
def list_tools() -> None:
    """Print every tool with its effect and how a repeat of it is made safe."""
    from fleet_workers.agents import load_catalogue

    table = Table("agent", "tool", "effect", "repeat", "stakes", "approval")
    for release in load_catalogue(load_settings().agents_path):
        for each in release.tools:
            rule = release.manifest.approvals.get(each.name)
            approval = "" if rule is None else f"{rule.argument or 'always'} > {rule.above}"
            table.add_row(release.name, each.name, each.effect, each.repeat, each.stakes, approval)
    console.print(table)
