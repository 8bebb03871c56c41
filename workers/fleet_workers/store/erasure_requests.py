"""Requests to erase a customer: asked for, looked up, and their receipts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, text

from fleet_contracts.errors import InvalidInput
from fleet_contracts.ids import new_task_id
from fleet_contracts.states import OPEN_STATES
from fleet_workers.store import audit
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.money_tables import withheld_rights
from fleet_workers.store.retention_tables import erasures
from fleet_workers.store.tables import tasks

_MOST_CHARACTERS: Final = 500


class UnknownErasure(InvalidInput):
    """No erasure of that id exists in the caller's tenant."""

    code = "unknown_erasure"


class OpenTasks(InvalidInput):
    """The customer has tasks that have not ended."""

    code = "open_tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A request to erase a customer, and its receipt.

    `erased` counts rows by table. `customer` is None once it is done: the receipt names nobody.
    `due_at` is when it goes on where some of its tasks ended only just now.
    """

    id: UUID
    tenant: str
    customer: str | None
    requested_by: str
    created_at: datetime
    due_at: datetime
    finished_at: datetime | None
    erased: Mapping[str, int]
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the fleet has of a customer. Rights that are withheld stay, lest they be given back."""

    tasks: int
    open_tasks: int
    rights: int


def look(connection: Connection, *, tenant: str, customer: str) -> Found:
    """Count what there is. Reads all tasks of the tenant."""
    connection.execute(TAKE_YOUR_TIME)
    row = connection.execute(
        select(
            func.count().label("all"),
            func.count().filter(tasks.c.state.in_(sorted(OPEN_STATES))).label("open"),
        ).where(tasks.c.tenant == tenant, tasks.c.customer == customer)
    ).one()
    rights = connection.execute(
        select(func.count())
        .select_from(withheld_rights)
        .where(withheld_rights.c.tenant == tenant, withheld_rights.c.customer == customer)
    ).scalar_one()
    return Found(tasks=row.all, open_tasks=row.open, rights=rights)


def request(
    connection: Connection, *, tenant: str, customer: str, cancel_open: bool, by: str
) -> Erasure:
    """Ask for a customer to be erased; the same request while one is under way is that one.

    Raises:
        InvalidInput: The customer's name is empty or too long.
        OpenTasks: The customer has open tasks and `cancel_open` is false.
    """
    if not customer.strip() or len(customer) > _MOST_CHARACTERS:
        raise InvalidInput(f"Name a customer, in at most {_MOST_CHARACTERS} characters.")
    connection.execute(_ONE_AT_A_TIME, {"key": f"erase {len(tenant)} {tenant} {customer}"})
    known = connection.execute(
        select(erasures).where(
            erasures.c.tenant == tenant,
            erasures.c.customer == customer,
            erasures.c.finished_at.is_(None),
        )
    ).first()
    if known is not None:
        return erasure_of(known)
    found = look(connection, tenant=tenant, customer=customer)
    if found.open_tasks and not cancel_open:
        raise OpenTasks(
            f"{found.open_tasks} tasks of this customer are open: let them end, or cancel them "
            "with the request (`--cancel-open`, `cancel_open`)."
        )
    row = connection.execute(
        insert(erasures)
        .values(
            id=new_task_id(),
            tenant=tenant,
            customer=customer,
            cancel_open=cancel_open,
            requested_by=by,
        )
        .returning(*erasures.c)
    ).one()
    tell(connection, erasure_of(row), "erasure asked for", who=by)
    return erasure_of(row)


def find(connection: Connection, erasure_id: UUID, *, tenant: str | None) -> Erasure | None:
    """A request; None where it is not there or another tenant's. `tenant=None` sees all."""
    query = select(erasures).where(erasures.c.id == erasure_id)
    if tenant is not None:
        query = query.where(erasures.c.tenant == tenant)
    row = connection.execute(query).one_or_none()
    return None if row is None else erasure_of(row)


def newest(connection: Connection, *, tenant: str | None, limit: int) -> list[Erasure]:
    """The newest requests first."""
    query = select(erasures).order_by(erasures.c.created_at.desc()).limit(limit)
    if tenant is not None:
        query = query.where(erasures.c.tenant == tenant)
    return [erasure_of(row) for row in connection.execute(query)]


def tell(connection: Connection, erasure: Erasure, what: str, *, who: str) -> None:
    """Note in the audit trail that it happened, and nothing of whom it was about."""
    audit.add(
        connection,
        Entry(
            kind=AuditKind.ERASURE,
            who=who,
            what=what,
            tenant=erasure.tenant,
            detail={"erasure": str(erasure.id), **erasure.erased},
        ),
    )


def erasure_of(row: Row[Any]) -> Erasure:
    """The request that a row of `erasures` holds."""
    return Erasure(
        id=row.id,
        tenant=row.tenant,
        customer=row.customer,
        requested_by=row.requested_by,
        created_at=row.created_at,
        due_at=row.due_at,
        finished_at=row.finished_at,
        erased=row.erased,
        last_error=row.last_error,
    )


TAKE_YOUR_TIME: Final = text("SET LOCAL statement_timeout = '10min'")
"""For a transaction that reads all tasks of a tenant."""
_ONE_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
