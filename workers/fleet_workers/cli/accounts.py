"""`fleetctl tenants` and `fleetctl keys`: who may use the fleet."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from fleet_contracts.errors import InvalidInput
from fleet_workers.cli.terminal import (
    console,
    moment_text,
    new_table,
    operator,
    require_tenant,
    store_transaction,
)
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
        require_tenant(connection, name)
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
    *,
    tenant: Annotated[str, typer.Option(help="Tenant, or * for all.")],
    role: Annotated[str, typer.Option(help=", ".join(accounts.ROLES))] = "producer",
    label: Annotated[str, typer.Option(help="What the key is for.")] = "made by fleetctl",
    right: Annotated[
        list[str] | None,
        typer.Option(help="Only this right of the role, such as read_tasks; may be repeated."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Ends after so many days.", min=1, max=3650)
    ] = None,
) -> None:
    """Make a key and print it. It cannot be read again."""
    from fleet_workers.web.keys import NewKey, create_key

    new = NewKey(
        tenant=tenant,
        role=role,
        label=label,
        rights=right or None,
        expires_at=_after(days),
    )
    with store_transaction() as connection:
        issued = create_key(connection, new, by=operator())
    console.print(issued.text, soft_wrap=True)


@key_commands.command("list")
def list_access_keys(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    revoked: Annotated[bool, typer.Option(help="Show revoked ones, too.")] = False,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 200,
) -> None:
    """Print the keys, the newest first; not the keys themselves, which nobody can read again."""
    with store_transaction() as connection:
        found = accounts.keys(connection, tenant=tenant, limit=limit, revoked=revoked)
    table = new_table(
        "id", "label", "tenant", "role", "rights", "made", "expires", "last used", "revoked"
    )
    for key in found:
        rights = "all of the role" if key.rights is None else ", ".join(key.rights)
        times = (key.created_at, key.expires_at, key.used_at, key.revoked_at)
        row = (str(key.id), key.label, key.tenant, key.role, rights, *map(moment_text, times))
        table.add_row(*map(escape, row))
    console.print(table)


@key_commands.command("revoke")
def revoke_access_keys(
    key_id: Annotated[UUID | None, typer.Argument(help="The key's id.")] = None,
    label: Annotated[str | None, typer.Option(help="All keys with this label instead.")] = None,
) -> None:
    """Refuse a key from now on. Sessions that were begun with it end."""
    with store_transaction() as connection:
        if label is not None and key_id is None:
            number = accounts.revoke_keys(connection, label=label, by=operator())
        elif key_id is not None and label is None:
            accounts.find_key(connection, key_id, tenant=None)
            number = int(accounts.revoke_key(connection, key_id, by=operator()))
        else:
            raise InvalidInput("Name a key's id, or a label: see `fleetctl keys list`.")
    console.print(f"{number} {'key' if number == 1 else 'keys'} revoked.")


def _after(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)
