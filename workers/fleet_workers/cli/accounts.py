"""`fleetctl tenants` and `fleetctl keys`: who may use the fleet."""

from typing import Annotated

import typer

from fleet_workers.cli.terminal import APPLICATION, console, store_transaction
from fleet_workers.settings import load_settings
from fleet_workers.store import accounts

tenant_commands = typer.Typer(help="Whose tasks the fleet takes.", no_args_is_help=True)
key_commands = typer.Typer(help="Keys for the HTTP API.", no_args_is_help=True)


@tenant_commands.command("add")
def add_tenant(name: str) -> None:
    """Let a tenant's tasks in."""
    with store_transaction() as connection:
        added = accounts.add_tenant(connection, name)
    console.print(f"Tenant {name} {'added' if added else 'was there already'}.")


@tenant_commands.command("list")
def list_tenants() -> None:
    """Print the names of all tenants."""
    with store_transaction() as connection:
        for name in accounts.tenant_names(connection):
            console.print(name)


@key_commands.command("create")
def create_access_key(
    tenant: Annotated[str, typer.Option(help="Tenant, or * for all.")],
    role: Annotated[str, typer.Option(help=", ".join(accounts.ROLES))] = "producer",
    label: Annotated[str, typer.Option(help="What the key is for.")] = "made by fleetctl",
) -> None:
    """Make a key and print it. It cannot be read again."""
    from fleet_workers.web.keys import create_key
    from fleet_workers.wiring import open_core

    with open_core(load_settings(), application=APPLICATION) as core:
        console.print(create_key(core.engine, tenant=tenant, role=role, label=label))
