"""Deletes what is older than the policy keeps it: in small batches, by any number of processes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, get_args
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from fleet_contracts.errors import ConfigurationError, Unavailable
from fleet_workers.retention_policy import Kind, RetentionSection, Scope
from fleet_workers.store import audit_retention
from fleet_workers.store.desk_tables import chore_marks
from fleet_workers.store.engine import store_errors
from fleet_workers.store.partitions import drop_months, months_of
from fleet_workers.store.retention_rules import RULES, STRAGGLERS, Rule

LEAP: Final = timedelta(days=7)
"""A clock that went further since the last round is not believed."""
CLOCKS_APART: Final = timedelta(hours=1)
"""A process whose clock differs by more from the store's deletes nothing."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_MARK: Final = "retention"
_BY_MONTH: Final = "finished_steps"
_BATCH: Final = 500  # a few milliseconds: a row lock is never held for long
_LONG_AGO: Final = datetime.fromisoformat("0001-01-02T00:00:00+00:00")
_LOCK_NOT_AVAILABLE: Final = "55P03"

log = structlog.get_logger()


class ClockLeapt(ConfigurationError):
    """The clock says something that would delete what is not old."""

    code = "clock_leapt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Rows of a table that are gone; of a month dropped as a whole, about how many they were."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Rows of a table that are older than the policy keeps them."""

    table: str
    kind: str
    rows: int
    oldest_at: datetime | None


def delete_old(
    engine: Engine, policy: RetentionSection, *, batch: int = _BATCH
) -> Iterator[Deleted]:
    """One round through all tables; after each transaction tells what it deleted, 0 rows included.

    Each batch is a transaction of its own, so a round may end anywhere: the next one goes on.

    Raises:
        ClockLeapt: Nothing is deleted, as the clock cannot be right.
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        check_clock(connection)
    yield from _drop_months(engine, policy)
    for rule in RULES:
        for scope in _scopes(rule, policy):
            yield from _delete_by(engine, _for_scope(rule, scope, policy), scope, batch)
    for scope in policy.scopes("journal"):
        yield from _delete_stragglers(engine, scope, batch)
    if (days := policy.longest("audit")) is not None:
        yield from audit_retention.drop_old(engine, timedelta(days=days), told=_told)


def count_due(connection: Connection, policy: RetentionSection) -> list[Due]:
    """What a round would delete now, by table; months that go as a whole are counted by rows."""
    found = []
    for rule in RULES:
        rows, oldest_at = 0, None
        for scope in _scopes(rule, policy):
            statement, parameters = _for_scope(rule, scope, policy).count(scope)
            row = connection.execute(statement, parameters).one()
            rows += row.rows
            oldest_at = min(filter(None, (oldest_at, row.at)), default=None)
        found.append(Due(table=rule.table, kind=rule.kind, rows=rows, oldest_at=oldest_at))
    if (days := policy.longest("audit")) is not None:
        rows, oldest_at = audit_retention.count_old(connection, timedelta(days=days))
        found.append(Due(table="audit", kind="audit", rows=rows, oldest_at=oldest_at))
    return found


def check_clock(connection: Connection, *, now: Callable[[], float] = time.time) -> None:
    """Make sure that the store's clock is no further on than a round ago and some days.

    Otherwise a clock that was put forward by a year would let a year's work be deleted. Notes how
    far the clock is; one that was put back is believed.

    Raises:
        ClockLeapt: It went on by more than `LEAP`, or differs from this process's by more than
            `CLOCKS_APART`.
    """
    here = connection.execute(select(func.now())).scalar_one()
    apart = abs(here.timestamp() - now())
    if apart > CLOCKS_APART.total_seconds():
        raise ClockLeapt(
            f"The store's clock says {here.isoformat(timespec='seconds')}, which is "
            f"{timedelta(seconds=round(apart))} off this machine's: nothing is deleted until they "
            "agree."
        )
    last = connection.execute(select(chore_marks.c.at).where(chore_marks.c.name == _MARK)).scalar()
    if last is not None and here - last > LEAP:
        raise ClockLeapt(
            f"The store's clock says {here.isoformat(timespec='seconds')}; when something was last "
            f"deleted by policy it was {last.isoformat(timespec='seconds')}. Either no janitor was "
            "up, or the clock went wrong. If it is right, say so once: `fleetctl retention run "
            "--clock-is-right`."
        )
    believe_clock(connection)


def believe_clock(connection: Connection) -> None:
    """Note the store's clock as right."""
    connection.execute(
        upsert(chore_marks)
        .values(name=_MARK, at=func.now())
        .on_conflict_do_update(index_elements=[chore_marks.c.name], set_={"at": func.now()})
    )


def _scopes(rule: Rule, policy: RetentionSection) -> Iterator[Scope]:
    if not rule.for_all:
        yield from policy.scopes(rule.kind)
    elif (days := policy.longest(rule.kind)) is not None:
        yield Scope(days=days)


def _for_scope(rule: Rule, scope: Scope, policy: RetentionSection) -> Rule:
    """Where nobody keeps journals for longer, those of a month go together, when it is dropped."""
    if rule.table != _BY_MONTH or scope.tenant is not None:
        return rule
    return replace(rule, by_month=scope.days == policy.longest(rule.kind))


def _delete_by(engine: Engine, rule: Rule, scope: Scope, batch: int) -> Iterator[Deleted]:
    statement, parameters = rule.delete(scope, limit=batch)
    since = _LONG_AGO
    while True:
        with store_errors(), engine.begin() as connection:
            row = connection.execute(statement, {**parameters, "since": since}).one()
        yield _told(rule.table, row.rows)
        if row.rows < batch:
            return
        since = row.at


def _delete_stragglers(engine: Engine, scope: Scope, batch: int) -> Iterator[Deleted]:
    parameters = {
        "days": scope.days,
        "tenant": scope.tenant,
        "others": list(scope.others),
        "limit": batch,
    }
    after: UUID | None = UUID(int=0)
    while after is not None:
        with store_errors(), engine.begin() as connection:
            row = connection.execute(STRAGGLERS, {**parameters, "after": after}).one()
        yield _told("steps", row.rows)
        after = row.last


def _drop_months(engine: Engine, policy: RetentionSection) -> Iterator[Deleted]:
    days = policy.longest("journal")
    if days is None:
        return
    with store_errors(), engine.begin() as connection:
        before = connection.execute(select(func.now() - timedelta(days=days))).scalar_one()
        sizes = {
            name: max(0, round(connection.execute(_ABOUT, {"name": name}).scalar() or 0))
            for name in months_of(connection, _BY_MONTH).values()
        }
    try:
        with store_errors(), engine.begin() as connection:
            dropped = drop_months(connection, _BY_MONTH, before=before)
    except Unavailable as error:
        if getattr(getattr(error.__cause__, "orig", None), "sqlstate", "") != _LOCK_NOT_AVAILABLE:
            raise
        log.info("retention.table_busy", table=_BY_MONTH)
        return
    for name in dropped:
        log.info("retention.month_dropped", table=name, rows=sizes[name])
        yield _told(_BY_MONTH, sizes[name])


_ABOUT: Final = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)")


def _told(table: str, rows: int) -> Deleted:
    return Deleted(table=table, rows=rows)
