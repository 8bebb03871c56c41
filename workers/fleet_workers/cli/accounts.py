"""`fleetctl tenants` and `fleetctl keys`: who may use the fleet."""

from typing import Annotated

import typer

from fleet_contracts.errors import UnknownTenant
from fleet_workers.cli.terminal import APPLICATION, console, operator, store_transaction
from fleet_workers.settings import load_settings
from fleet_workers.store import accounts, pauses
from fleet_workers.store.pauses import EVERY

tenant_commands = typer.Typer(help="Whose tasks the fleet takes.", no_args_is_help=True)
key_commands = typer.Typer(help="Keys for the HTTP API.", no_args_is_help=True)


@tenant_commands.command("add")
def add_tenant(name: str) -> None:
    """Let a tenant's tasks in."""
    with store_transaction() as connection:
        added = accounts.add_tenant(connection, name, by=operator())
    console.print(f"Tenant {name} {'added' if added else 'was there already'}.")


@tenant_commands.command("list")
def list_tenants() -> None:
    """Print the names of all tenants."""
    with store_transaction() as connection:
        for name in accounts.tenant_names(connection):
            console.print(name)


@tenant_commands.command("pause")
def pause_tenant(
    name: str, reason: Annotated[str, typer.Option(help="Why; people who wait read it.")]
) -> None:
    """Let no task of a tenant start; those that run stop before their next step."""
    with store_transaction() as connection:
        if not accounts.tenant_exists(connection, name):
            raise UnknownTenant(f"No tenant is called {name!r}: see `fleetctl tenants list`.")
        pauses.pause(connection, agent=EVERY, tenant=name, reason=reason, paused_by=operator())
    console.print(f"{name} is paused. `fleetctl tenants resume {name}` lets its tasks run again.")


@tenant_commands.command("resume")
def resume_tenant(name: str) -> None:
    """Let a tenant's tasks run again."""
    with store_transaction() as connection:
        was_paused = pauses.resume(connection, agent=EVERY, tenant=name, resumed_by=operator())
    console.print(f"{name} {'runs again' if was_paused else 'was not paused'}.")


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
        key = create_key(core.engine, tenant=tenant, role=role, label=label, by=operator())
        console.print(key)
