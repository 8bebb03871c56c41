"""`fleetctl spend`: what agents moved and what they cost."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from fleet_workers.cli.letter_options import Since, moment
from fleet_workers.cli.terminal import console, new_table, require_tenant, store_transaction
from fleet_workers.store.spend import as_usd
from fleet_workers.store.spend_report import spent

_MOST_ROWS = 500


def show_spend(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    since: Since = "7d",
) -> None:
    """Print what was moved and what it cost, by day (UTC), tenant and agent.

    `reserved` is the part of it that is not settled: under way, in doubt, or of a worker that died.
    """
    first = moment(since) or datetime.now(UTC)
    with store_transaction() as connection:
        if tenant is not None:
            require_tenant(connection, tenant)
        found = spent(
            connection, tenant=tenant, since=first.astimezone(UTC).date(), limit=_MOST_ROWS + 1
        )
    table = new_table("day", "tenant", "agent")
    for column in ("moved", "cost", "reserved", "entries"):
        table.add_column(column, justify="right")
    for each in found[:_MOST_ROWS]:
        sums = (each.moved_usd, each.cost_usd, each.reserved_usd)
        table.add_row(
            each.day.isoformat(),
            escape(each.tenant),
            escape(each.agent),
            *map(as_usd, sums),
            str(each.entries),
        )
    console.print(table)
    if len(found) > _MOST_ROWS:
        console.print("… and more: name a tenant, or a later --since.")
