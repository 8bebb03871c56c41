"""`fleetctl reviews`: what waits for a person."""

import typer
from rich.table import Table

from fleet_workers.cli.terminal import console, store_transaction
from fleet_workers.store import reviews

commands = typer.Typer(help="What waits for a person.", no_args_is_help=True)


@commands.command("list")
def list_reviews(limit: int = 50) -> None:
    """Print what waits for a person, oldest first."""
    table = Table("id", "tenant", "agent", "kind", "reason", "since")
    with store_transaction() as connection:
        for item in reviews.waiting(connection, tenant=None, limit=limit):
            since = item.created_at.isoformat(timespec="seconds")
            table.add_row(str(item.id), item.tenant, item.agent, item.kind, item.reason, since)
    console.print(table)
