"""The janitor keeps the stored replies young and few."""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Engine, select

from fleet_workers.janitor.plan_cache import tidy_plan_cache
from fleet_workers.store import plan_cache
from fleet_workers.store.model_tables import plan_cache as rows
from fleet_workers.store.plan_cache import Entry


def _keep(engine: Engine, tenant: str, key: bytes, lifetime: timedelta) -> None:
    with engine.begin() as connection:
        plan_cache.put(
            connection,
            Entry(
                tenant=tenant,
                key=key,
                agent="billing",
                release="r1",
                data_version=0,
                reply={},
                task_id=uuid4(),
                lifetime=lifetime,
            ),
        )


def _left(engine: Engine) -> list[tuple[str, bytes]]:
    with engine.connect() as connection:
        query = select(rows.c.tenant, rows.c.key).order_by(rows.c.tenant, rows.c.key)
        return [(row.tenant, row.key) for row in connection.execute(query)]


def test_old_entries_go_and_the_oldest_of_a_tenant_that_has_too_many(engine: Engine) -> None:
    for number in range(5):
        _keep(engine, "acme", bytes([number]), timedelta(hours=1))
    _keep(engine, "acme", b"old", timedelta(seconds=-1))
    _keep(engine, "other", b"one", timedelta(hours=1))

    assert tidy_plan_cache(engine, most_per_tenant=3) == 3
    assert tidy_plan_cache(engine, most_per_tenant=3) == 0
    assert _left(engine) == [("acme", b"\2"), ("acme", b"\3"), ("acme", b"\4"), ("other", b"one")]
