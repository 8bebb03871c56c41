"""`fleetctl rights`: what a tenant, or one of its customers, withholds from all agents."""

from typing import Annotated

import typer
from rich.markup import escape

from fleet_workers.cli.terminal import (
    console,
    new_table,
    operator,
    require_tenant,
    store_transaction,
)
from fleet_workers.settings import load_settings
from fleet_workers.store import rights
from fleet_workers.store.rights import EVERY_CUSTOMER

commands = typer.Typer(help="Rights that agents are denied.", no_args_is_help=True)

OfTenant = Annotated[str, typer.Option("--tenant", help="The tenant that withholds it.")]
OfCustomer = Annotated[
    str, typer.Option("--customer", help="For tasks of this customer only; * for all.")
]


@commands.command("withhold")
def withhold_right(
    name: Annotated[str, typer.Argument(help="A tool, or a scope that tools ask for.")],
    tenant: OfTenant,
    reason: Annotated[str, typer.Option(help="Why; models and people read it.")],
    customer: OfCustomer = EVERY_CUSTOMER,
) -> None:
    """Let no agent use a right for a tenant. Every worker knows within a second."""
    _require_right(name)
    with store_transaction() as connection:
        require_tenant(connection, tenant)
        found = rights.withhold(
            connection,
            tenant=tenant,
            customer=customer,
            name=name,
            reason=reason,
            withheld_by=operator(),
        )
    line = f"{name} is withheld {_whose(tenant, customer)}: {found.reason}"
    console.print(line, markup=False, soft_wrap=True)


@commands.command("restore")
def restore_right(name: str, tenant: OfTenant, customer: OfCustomer = EVERY_CUSTOMER) -> None:
    """Give a right back, named as it was withheld; others that cover the same calls stay."""
    with store_transaction() as connection:
        was_withheld = rights.restore(
            connection, tenant=tenant, customer=customer, name=name, restored_by=operator()
        )
        if not was_withheld:  # of a tool that is no longer installed a right may be left
            require_tenant(connection, tenant)
        left = [
            each
            for each in rights.all_withheld(connection)
            if (each.tenant, each.name) == (tenant, name)
        ]
    if not was_withheld:
        _require_right(name)
    said = "is restored" if was_withheld else "was not withheld"
    console.print(f"{name} {said} {_whose(tenant, customer)}.", markup=False, soft_wrap=True)
    for each in left:
        line = f"Still withheld {_whose(tenant, each.customer)}: {each.reason}"
        console.print(line, markup=False, soft_wrap=True)


@commands.command("list")
def list_rights(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
) -> None:
    """Print every right that is withheld now, the oldest first."""
    with store_transaction() as connection:
        if tenant is not None:
            require_tenant(connection, tenant)
        found = rights.all_withheld(connection)
    table = new_table("right", "tenant", "customer", "since", "by", "reason")
    for each in found:
        if tenant in {None, each.tenant}:
            since = each.created_at.isoformat(timespec="seconds")
            row = (each.name, each.tenant, each.customer, since, each.withheld_by, each.reason)
            table.add_row(*map(escape, row))
    console.print(table)


def _require_right(name: str) -> None:
    from fleet_workers.agents import load_catalogue
    from fleet_workers.agents.grants import require_right

    require_right(load_catalogue(load_settings().agents_path), name)


def _whose(tenant: str, customer: str) -> str:
    return f"for {tenant}" if customer == EVERY_CUSTOMER else f"for {tenant}, customer {customer}"
