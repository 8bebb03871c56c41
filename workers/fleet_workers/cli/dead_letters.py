"""`fleetctl dead`: what the fleet gave up."""

import typer
from rich.table import Table

from fleet_workers.cli.terminal import console, store_transaction
from fleet_workers.store import dead_letters

commands = typer.Typer(help="What the fleet gave up.", no_args_is_help=True)


@commands.command("list")
def list_dead_letters(limit: int = 50) -> None:
    """Print what the fleet gave up, newest first."""
    table = Table("id", "task", "tenant", "agent", "reason", "error")
    with store_transaction() as connection:
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
