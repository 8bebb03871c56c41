"""`fleetctl retention show|run`: what is kept for how long, and what is older."""

from collections import Counter
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy import Engine

from fleet_workers.cli.terminal import APPLICATION, console, moment_text, new_table
from fleet_workers.desk_file import load_desk_file
from fleet_workers.retention_policy import RetentionSection
from fleet_workers.settings import load_settings
from fleet_workers.store import retention, table_sizes
from fleet_workers.store.engine import store_errors

commands = typer.Typer(help="How long what is stored is kept.", no_args_is_help=True)


@commands.command("show")
def show_retention() -> None:
    """Print the policy, and by table about how many rows there are, their size, and the oldest."""
    from fleet_workers.wiring import open_core

    settings = load_settings()
    policy = load_desk_file(settings.desk).retention
    _print_policy(policy)
    with (
        open_core(settings, application=APPLICATION) as core,
        store_errors(),
        core.engine.connect() as connection,
    ):
        sizes = table_sizes.read(connection)
    table = new_table("table", "kept as", "rows, about", "MB", "oldest")
    for each in sizes:
        size = f"{each.bytes / 1_000_000:.1f}"
        table.add_row(each.table, each.kind, str(each.rows), size, moment_text(each.oldest_at))
    console.print(table)


@commands.command("run")
def run_retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and delete nothing.")] = False,
    clock_is_right: Annotated[
        bool, typer.Option("--clock-is-right", help="The store's clock did not leap.")
    ] = False,
) -> None:
    """Delete what is older than the policy keeps it. A janitor does the same every hour."""
    from fleet_workers.wiring import open_core

    settings = load_settings()
    policy = load_desk_file(settings.desk).retention
    with open_core(settings, application=APPLICATION) as core:
        if dry_run:
            _count(core.engine, policy)
            return
        if clock_is_right:
            with store_errors(), core.engine.begin() as connection:
                retention.believe_clock(connection)
        rows: Counter[str] = Counter()
        for deleted in retention.delete_old(core.engine, policy):
            rows[deleted.table] += deleted.rows
    for table, number in sorted(rows.items()):
        if number:
            console.print(f"{table}: {number} rows deleted")
    if not rows.total():
        console.print("Nothing is older than the policy keeps it.")


def _count(engine: Engine, policy: RetentionSection) -> None:
    with store_errors(), engine.connect() as connection:
        due = retention.count_due(connection, policy)
    table = new_table("table", "kept as", "rows to delete", "oldest")
    for each in due:
        table.add_row(each.table, each.kind, str(each.rows), moment_text(each.oldest_at))
    console.print(table)
    console.print("Nothing was deleted.")


def _print_policy(policy: RetentionSection) -> None:
    table = new_table("kind", "kept", "other for")
    for kind in retention.KINDS:
        own = {tenant: policy.kept(kind, tenant) for tenant in sorted(policy.tenants)}
        usual = policy.kept(kind)
        others = ", ".join(f"{name} {_days(kept)}" for name, kept in own.items() if kept != usual)
        table.add_row(kind, _days(usual), escape(others))
    console.print(table)


def _days(kept: object) -> str:
    return str(kept) if kept == "always" else f"{kept} days"
