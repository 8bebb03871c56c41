"""What tenants see and may write of verdicts and counts; signing keys made by many at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import Engine, Executable, delete, insert, select, text, update
from sqlalchemy.exc import ProgrammingError

from fleet_contracts.ids import new_task_id
from fleet_workers.store import quality
from fleet_workers.store.chore_marks import move_mark, take_mark
from fleet_workers.store.desk_tables import (
    chore_marks,
    feedback,
    labels,
    quality_days,
    samples,
    signing_keys,
)
from fleet_workers.store.finished import Mark
from fleet_workers.store.quality import ALL, Counts, DayKey
from fleet_workers.store.row_security import for_tenant
from fleet_workers.store.signing_keys import signing_key
from fleet_workers.store.tables import metadata

TODAY = datetime.now(UTC).date()


def key(tenant: str, agent: str = "billing", ago: int = 0) -> DayKey:
    return DayKey(tenant=tenant, day=TODAY - timedelta(days=ago), agent=agent, offline=False)


@pytest.fixture(autouse=True)
def _counted(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (quality_days, labels, samples, feedback, signing_keys, chore_marks):
            connection.execute(table.delete())
        quality.add_counts(
            connection,
            {
                key("acme"): Counts(finished=3, alone=2, cost_usd=Decimal("0.1")),
                key("globex"): Counts(finished=5, alone=5),
            },
        )
        for tenant in ("acme", "globex"):
            connection.execute(insert(feedback).values(**feedback_row(tenant)))
            connection.execute(insert(labels).values(**label_row(tenant)))


def feedback_row(tenant: str) -> dict[str, object]:
    return {
        "id": new_task_id(),
        "task_id": uuid4(),
        "tenant": tenant,
        "agent": "billing",
        "source": "api",
    }


def label_row(tenant: str) -> dict[str, object]:
    return {
        "review_id": new_task_id(),
        "task_id": uuid4(),
        "tenant": tenant,
        "agent": "billing",
        "kind": "sampled",
        "ruling": "approve",
        "proposed": {},
        "decided": {},
        "decided_by": "ann",
    }


def test_a_tenant_sees_its_own_counts_and_not_the_sums_of_all(engine: Engine) -> None:
    with for_tenant(engine, "acme").begin() as connection:
        for table in (quality_days, labels, feedback):
            seen = connection.execute(select(table.c.tenant)).scalars().all()
            assert seen == ["acme"]
        sums = quality.read_days(connection, tenant=None, agent=None, since=TODAY, offline=False)
        assert sums == []
    with engine.begin() as connection:
        ((found, counts),) = quality.read_days(
            connection, tenant=None, agent=None, since=TODAY, offline=False
        )
    assert (found.tenant, counts.finished, counts.alone) == (ALL, 8, 7)
    assert counts.cost_usd == Decimal("0.1")


@pytest.mark.parametrize(
    "statement",
    [
        select(signing_keys),
        select(chore_marks),
        insert(quality_days).values(tenant="acme", day=TODAY, agent="x", offline=False),
        update(quality_days).values(alone=99),
        insert(samples).values(
            task_id=uuid4(),
            review_id=uuid4(),
            tenant="acme",
            agent="x",
            stratum="high/familiar",
            weight=1,
        ),
        update(labels).values(right=True),
        delete(labels),
        delete(feedback),
        insert(labels).values(**label_row("globex")),
        insert(feedback).values(**feedback_row("globex")),
        update(feedback).values(tenant="globex"),
    ],
    ids=lambda statement: str(statement).split(" (", maxsplit=1)[0].replace("\n", " ")[:40],
)
def test_what_a_tenant_may_not_do_the_store_refuses(engine: Engine, statement: Executable) -> None:
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|row-level security"),
        for_tenant(engine, "acme").begin() as connection,
    ):
        connection.execute(statement)


def test_counts_add_up(engine: Engine) -> None:
    with engine.begin() as connection:
        for _ in range(3):
            more = Counts(escalated=1)
            more.latency.update({7: 2, 9: 1})
            more.strata.update({"high/familiar": 3})
            quality.add_counts(connection, {key("acme"): more, key("acme", "other", 40): more})
        found = dict(
            quality.read_days(
                connection,
                tenant="acme",
                agent=None,
                since=TODAY - timedelta(days=90),
                offline=False,
            )
        )
    assert found[key("acme")].finished == 3
    assert found[key("acme")].escalated == 3
    assert found[key("acme")].latency == {7: 6, 9: 3}
    assert found[key("acme", "other", 40)].strata == {"high/familiar": 9}


def test_a_mark_is_for_one_at_a_time(engine: Engine) -> None:
    with engine.begin() as beginning:
        begun = take_mark(beginning, "chore")
    with engine.begin() as first:
        mark = take_mark(first, "chore")
        assert mark == begun
        assert mark is not None
        with engine.begin() as second:
            second.execute(text("SET LOCAL lock_timeout = '2s'"))
            assert take_mark(second, "chore") is None
            assert take_mark(second, "another") is not None
        later = Mark(at=mark.at + timedelta(hours=1), id=uuid4())
        move_mark(first, "chore", later)
    with engine.begin() as third:
        assert take_mark(third, "chore") == later


def test_all_who_ask_at_once_get_the_same_key(engine: Engine) -> None:
    def ask(_: int) -> bytes:
        with engine.begin() as connection:
            return signing_key(connection, "feedback")

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(ask, range(24)))
    assert len(keys) == 1
    assert len(next(iter(keys))) == 32
    with engine.begin() as connection:
        assert signing_key(connection, "other") not in keys


def test_the_tables_are_those_of_the_migration(engine: Engine) -> None:
    with engine.connect() as connection:
        for name in ("quality_days", "labels", "samples", "feedback", "signing_keys"):
            rows = connection.execute(
                text(
                    "SELECT column_name, is_nullable FROM information_schema.columns "
                    "WHERE table_name = :name AND table_schema = 'public'"
                ),
                {"name": name},
            )
            columns = {column.name: column.nullable for column in metadata.tables[name].columns}
            assert {row[0]: row[1] == "YES" for row in rows} == columns
            indexes = connection.execute(
                text("SELECT indexname FROM pg_indexes WHERE tablename = :name"), {"name": name}
            )
            declared = {index.name for index in metadata.tables[name].indexes}
            assert {row[0] for row in indexes} >= declared
