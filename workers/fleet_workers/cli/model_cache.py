"""`fleetctl cache`: stored replies of models, and making them void when their data change."""

from typing import Annotated

import typer
from rich.markup import escape

from fleet_workers.cli.terminal import (
    console,
    moment_text,
    new_table,
    operator,
    require_tenant,
    store_transaction,
)
from fleet_workers.settings import load_settings
from fleet_workers.store import plan_cache

commands = typer.Typer(help="Stored replies of models.", no_args_is_help=True)


@commands.command("list")
def list_entries(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
) -> None:
    """Print how many replies are stored, by tenant, agent and release.

    `shared` are those that a request in other words may be answered by.
    """
    with store_transaction() as connection:
        found = plan_cache.count_entries(connection, tenant=tenant)
    table = new_table("tenant", "agent", "release")
    for column in ("entries", "shared", "oldest", "newest"):
        table.add_column(column, justify="right")
    for each in found:
        table.add_row(
            escape(each.tenant),
            escape(each.agent),
            escape(each.release),
            str(each.entries),
            str(each.shared),
            moment_text(each.oldest),
            moment_text(each.newest),
        )
    console.print(table)


@commands.command("invalidate")
def invalidate(
    tenant: Annotated[str, typer.Option(help="Whose stored replies become void.")],
    agent: Annotated[str | None, typer.Option(help="Only those of this agent.")] = None,
) -> None:
    """Make stored replies void: what a prompt does not say and a model was told has changed.

    A new release of an agent needs no such thing. Replies that are being made now are not stored.
    """
    from fleet_workers.agents import load_catalogue

    if agent is not None:
        load_catalogue(load_settings().agents_path).get(agent)
    with store_transaction() as connection:
        require_tenant(connection, tenant)
        gone = plan_cache.invalidate(connection, tenant=tenant, agent=agent, by=operator())
    whose = f"{tenant}, agent {agent}" if agent else tenant
    console.print(f"{gone} stored replies of {whose} are void.", markup=False)
