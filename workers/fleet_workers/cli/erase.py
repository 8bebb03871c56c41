"""`fleetctl erase`: what is stored of a customer is taken away, and a receipt printed."""

import time
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.markup import escape
from sqlalchemy import Engine

from fleet_contracts.errors import InvalidInput
from fleet_workers.cli.terminal import (
    APPLICATION,
    console,
    moment_text,
    new_table,
    operator,
    require_tenant,
)
from fleet_workers.settings import load_settings
from fleet_workers.store import erasure_requests
from fleet_workers.store.engine import store_errors
from fleet_workers.store.erasure_requests import Erasure, Found

if TYPE_CHECKING:
    from fleet_workers.janitor.erase import Forget

_PAUSE_SECONDS = 0.2

STAYS = (
    "the task's row without words, so that a repeat of its message or key does nothing",
    "figures: quality, money by tenant and day, labels and ratings without words",
    "the audit trail: digests, ids of tasks, what was decided by whom",
    "for at most the span of a rate: counts of calls under the customer's name in Redis",
    "messages on the broker, until a worker takes them and finds their task ended",
    "outside the fleet: backups, logs, traces, what models, tools and other systems were told",
)
"""What an erasure leaves, told with each receipt."""


def erase_customer(
    *,
    tenant: Annotated[str | None, typer.Option(help="Whose customer it is.")] = None,
    customer: Annotated[str | None, typer.Option(help="The customer, as tasks name it.")] = None,
    cancel_open: Annotated[
        bool, typer.Option("--cancel-open", help="Cancel the customer's open tasks first.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    receipt: Annotated[
        UUID | None, typer.Option(help="Print the receipt of an earlier request.")
    ] = None,
) -> None:
    """Erase what is stored of a customer. Repeating it is harmless."""
    from fleet_workers.wiring import open_core

    with open_core(load_settings(), application=APPLICATION) as core:
        engine, forget = core.engine, core.memory.forget
        if receipt is not None:
            with store_errors(), engine.connect() as connection:
                known = erasure_requests.find(connection, receipt, tenant=None)
            if known is None:
                raise InvalidInput(f"No erasure {receipt} is known.")
            _print_receipt(known, rights=0)
            return
        if tenant is None or customer is None:
            raise InvalidInput("Name --tenant and --customer, or --receipt of an earlier request.")
        with store_errors(), engine.begin() as connection:
            require_tenant(connection, tenant)
            found = erasure_requests.look(connection, tenant=tenant, customer=customer)
            if dry_run:
                _print_found(found)
                return
            asked = erasure_requests.request(
                connection,
                tenant=tenant,
                customer=customer,
                cancel_open=cancel_open,
                by=operator(),
            )
        _print_receipt(_carry_out(engine, forget, asked), rights=found.rights)


def _carry_out(engine: Engine, forget: "Forget", asked: Erasure) -> Erasure:
    """Work at a request until it is done or has to wait, beside any janitor that does so, too."""
    from fleet_workers.janitor.erase import erase_some

    while True:
        turn = erase_some(engine, forget, only=asked.id)
        if turn is None:  # done, or a janitor is at it at this moment
            with store_errors(), engine.connect() as connection:
                known = erasure_requests.find(connection, asked.id, tenant=None)
            if known is None or known.finished_at is not None:
                return known or asked
            time.sleep(_PAUSE_SECONDS)
        elif turn.waits:
            return turn.erasure


def _print_found(found: Found) -> None:
    console.print(f"{found.tasks} tasks, {found.open_tasks} of them open. Nothing was changed.")
    _print_rights(found.rights)


def _print_receipt(erasure: Erasure, *, rights: int) -> None:
    console.print(
        f"erasure {erasure.id} for {erasure.tenant}, asked for by {erasure.requested_by} at "
        f"{moment_text(erasure.created_at)}",
        markup=False,
        soft_wrap=True,
    )
    table = new_table("erased from", "rows")
    for name, rows in sorted(erasure.erased.items()):
        if name != "cancelled":
            table.add_row(escape(name), str(rows))
    console.print(table)
    if cancelled := erasure.erased.get("cancelled", 0):
        console.print(f"{cancelled} open tasks were cancelled for it.")
    for each in STAYS:
        console.print(f"stays: {each}", markup=False, soft_wrap=True)
    _print_rights(rights)
    if erasure.finished_at is None:
        console.print(
            f"not done: some tasks ended only just now; a janitor goes on at "
            f"{moment_text(erasure.due_at)} and later.",
            soft_wrap=True,
        )
    else:
        console.print(f"done at {moment_text(erasure.finished_at)}")


def _print_rights(rights: int) -> None:
    if rights:
        console.print(
            f"stays: {rights} withheld rights that name the customer, lest they be given back: "
            "see `fleetctl rights list`.",
            soft_wrap=True,
        )
