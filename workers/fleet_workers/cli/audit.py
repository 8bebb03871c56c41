"""`fleetctl audit verify|export|show`: who did what, and whether the record is whole."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.markup import escape
from sqlalchemy import Connection

from fleet_workers.cli.letter_options import Since, Tenant, Until, moment
from fleet_workers.cli.terminal import APPLICATION, console, new_table
from fleet_workers.settings import load_settings
from fleet_workers.store.audit import AuditKind

if TYPE_CHECKING:
    from fleet_workers.store.audit_reading import AuditFilter, ShownEntry

commands = typer.Typer(help="Who did what, and why.", no_args_is_help=True)

Task = Annotated[UUID | None, typer.Option(help="Only of the task with this id.")]
Kind = Annotated[AuditKind | None, typer.Option(help="Only of this kind.")]


@commands.command("verify")
def verify_trail(
    head: Annotated[
        str | None,
        typer.Option(help="POSITION:HASH that an earlier verify or a janitor's log told."),
    ] = None,
) -> None:
    """Check every entry against the chain; exit code 1 where anything was tampered with."""
    from fleet_workers.store.audit_chain import parse_head
    from fleet_workers.store.audit_verify import verify

    noted = None if head is None else parse_head(head)
    with _snapshot() as connection:
        found = verify(connection, noted=noted)
    for fault in found.faults:
        console.print(f"fault: {fault}", soft_wrap=True, markup=False, highlight=False)
    if found.more_faults:
        console.print(f"… and {found.more_faults} more.")
    if found.dropped is not None:
        console.print(f"Positions 1 to {found.dropped.position} were let go by policy.")
    console.print(f"{found.entries} entries sealed, {found.unsealed} waiting to be sealed.")
    console.print(f"head {found.head}", soft_wrap=True, highlight=False)
    if not found.is_whole:
        raise typer.Exit(1)
    console.print("The chain is whole." if noted else "The chain is whole as far as it reaches.")


@commands.command("export")
def export_trail(
    *,
    output: Annotated[Path | None, typer.Option(help="A file instead of the terminal.")] = None,
    task: Task = None,
    tenant: Tenant = None,
    kind: Kind = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write sealed entries as JSON lines. A full export can be checked without the store."""
    from fleet_workers.store.audit_reading import count_unsealed, export_lines

    wanted = _chosen(task=task, tenant=tenant, kind=kind, since=since, until=until)
    with _snapshot() as connection:
        lines = export_lines(connection, wanted)
        if output is None:
            sys.stdout.writelines(f"{line}\n" for line in lines)
        else:
            with output.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
        unsealed = count_unsealed(connection, wanted)
    if unsealed:
        typer.echo(f"{unsealed} entries wait to be sealed and are left out.", err=True)


@commands.command("show")
def show_trail(
    *,
    task: Task = None,
    tenant: Tenant = None,
    kind: Kind = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="Rows at most.", min=1, max=1000)] = 50,
) -> None:
    """Print the newest entries, with the reasons as far as journals still hold them."""
    from fleet_workers.store.audit_reading import newest

    wanted = _chosen(task=task, tenant=tenant, kind=kind, since=since, until=until)
    with _snapshot() as connection:
        found = newest(connection, wanted, limit=limit)
    table = new_table("position", "at", "who", "what", "why", "tenant", "task")
    table.columns[-1].no_wrap = True
    for each in found:
        table.add_row(
            "-" if each.position is None else str(each.position),
            each.at,
            escape(each.who),
            escape(f"{each.kind}: {each.what}"),
            escape(_why(each)),
            each.tenant or "",
            "" if each.task_id is None else str(each.task_id),
        )
    console.print(table)


def _why(entry: "ShownEntry") -> str:
    """The reason; where none is known, what the entry refers to."""
    reason = ": ".join(word for word in (entry.why, entry.reason or "") if word)
    return reason or ", ".join(
        f"{name} {value}"
        for name, value in sorted(entry.detail.items())
        if not name.endswith("_sha256")
    )


def _chosen(
    *,
    task: UUID | None,
    tenant: str | None,
    kind: AuditKind | None,
    since: str | None,
    until: str | None,
) -> "AuditFilter":
    from fleet_workers.store.audit_reading import AuditFilter

    return AuditFilter(
        task_id=task,
        tenant=tenant,
        kind=kind,
        since=moment(since),
        until=moment(until),
    )


@contextmanager
def _snapshot() -> Iterator[Connection]:
    """The store as it stands at one moment, for reading only."""
    from fleet_workers.store.engine import store_errors
    from fleet_workers.wiring import open_core

    with (
        open_core(load_settings(), application=APPLICATION) as core,
        store_errors(),
        core.engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ) as connection,
        connection.begin(),
    ):
        yield connection
