"""What `/metrics` tells of the store, also where it hangs, and what it leaves out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Connection, text, update

from fleet_contracts.errors import Unavailable
from fleet_workers.agents import load_catalogue
from fleet_workers.resilience.breaker_records import Record
from fleet_workers.resilience.redis_link import RedisAway
from fleet_workers.store import spend
from fleet_workers.store.quality import Counts, DayKey, add_counts
from fleet_workers.store.tables import outbox, reviews
from fleet_workers.telemetry.store_gauges import Samples
from fleet_workers.web import scrapes
from fleet_workers.web.metrics_figures import read_lately
from fleet_workers.web.scrapes import Scrapes
from support.web_server import Site

TODAY = datetime.now(UTC).date()


def _value(samples: Samples, *labels: str) -> float:
    return dict(samples)[labels]


def test_reviews_and_outbox_tell_how_old_they_are(site: Site) -> None:
    site.parked("Not sure.")
    site.parked("Nor here.")
    with site.engine.begin() as connection:
        late = datetime.now(UTC) - timedelta(hours=1)
        one = connection.execute(reviews.select().limit(1)).one()
        connection.execute(
            update(reviews).where(reviews.c.id == one.id).values(due_at=late, created_at=late)
        )
        connection.execute(update(outbox).values(created_at=late))
    samples = Scrapes(site.resources).read().samples
    assert _value(samples["reviews_waiting"]) == 2
    assert _value(samples["reviews_overdue"]) == 1
    assert _value(samples["reviews_overdue_by_agent"], one.agent) == 1
    assert 3600 <= _value(samples["reviews_oldest_seconds"]) < 3700
    assert _value(samples["tasks"], one.agent, "in_review") == 2


def test_business_counts_come_from_daily_sums_by_model(site: Site) -> None:
    key = DayKey(tenant="acme", day=TODAY, agent="billing", offline=False)
    counts = Counts(finished=10, alone=6, escalated=2, cost_usd=Decimal("0.5"))
    before_this_month = replace(key, day=TODAY.replace(day=1) - timedelta(days=1))
    with site.engine.begin() as connection:
        add_counts(connection, {key: counts, replace(key, offline=True): Counts(alone=100)})
        add_counts(connection, {before_this_month: Counts(finished=1000, alone=1000)})
        samples = read_lately(connection, load_catalogue(), {"billing": 10.0, "*": 1.0})
    assert _value(samples["finished_tasks_total"], "billing", "real") == 10
    assert _value(samples["automated_tasks_total"], "billing", "real") == 6
    assert _value(samples["automated_tasks_total"], "billing", "offline") == 100
    assert _value(samples["escalated_tasks_total"], "billing", "real") == 2
    assert _value(samples["finished_cost_usd_total"], "billing", "real") == 0.5
    assert _value(samples["saved_hours_total"], "billing", "real") == 1.0


def test_accuracy_has_its_interval_and_only_where_enough_were_judged(site: Site) -> None:
    key = DayKey(tenant="acme", day=TODAY, agent="billing", offline=False)
    few = replace(key, agent="onboarding")
    with site.engine.begin() as connection:
        counted = {each: Counts(alone=100) for each in (key, few)}
        for counts in counted.values():
            counts.strata["sure"] = 100
        add_counts(connection, counted)
        for number in range(20):
            _judge(connection, "billing", right=number < 15)
        _judge(connection, "onboarding", right=True)
        samples = read_lately(connection, load_catalogue(), {})
    share = _value(samples["accuracy_ratio"], "billing", "real")
    assert share == pytest.approx(0.75)
    assert _value(samples["accuracy_low_ratio"], "billing", "real") < share
    assert _value(samples["accuracy_high_ratio"], "billing", "real") > share
    assert _value(samples["accuracy_judged"], "onboarding", "real") == 1
    assert ("onboarding", "real") not in dict(samples["accuracy_ratio"])


def _judge(connection: Connection, agent: str, *, right: bool) -> None:
    connection.execute(
        text("""
            INSERT INTO labels (review_id, task_id, tenant, agent, kind, ruling, "right", proposed,
                decided, stratum, decided_by)
            VALUES (:review, :task, 'acme', :agent, 'sampled', 'approve', :right, '{}', '{}',
                'sure', 'somebody')
        """),
        {"review": uuid4(), "task": uuid4(), "agent": agent, "right": right},
    )


def test_a_budget_tells_the_fullest_tenant_and_names_none(site: Site) -> None:
    [release, *_] = load_catalogue()
    limits = release.manifest.spend.model_copy(update={"cost_per_tenant_day": Decimal(10)})
    bounded = replace(release, manifest=release.manifest.model_copy(update={"spend": limits}))
    with site.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tenants (name) VALUES ('globex') ON CONFLICT DO NOTHING")
        )
        for tenant, amount in (("acme", 2), ("globex", 9)):
            connection.execute(
                text("""
                    INSERT INTO spend_totals (kind, subject, day, amount_usd)
                    VALUES ('cost', :subject, (now() AT TIME ZONE 'UTC')::date, :amount)
                """),
                {"subject": spend.tenant_total(tenant), "amount": amount},
            )
        samples = read_lately(connection, [bounded], {})["budget_spent_ratio"]
    assert samples == [((release.name, "cost_per_tenant_day"), pytest.approx(0.9))]


def test_breakers_and_a_redis_that_is_away(site: Site) -> None:
    record = Record(granted=False, failures=5, probe_in_seconds=3.0, claim_seconds=0.0)
    records = {"tool refund": record, "model m": replace(record, probe_in_seconds=None)}
    told = Scrapes(replace(site.resources, read_breakers=lambda: records)).read()
    assert (told.redis_up, told.samples["breaker_open"]) == (
        True,
        [(("model m",), 0.0), (("tool refund",), 1.0)],
    )

    def away() -> dict[str, Record]:
        raise RedisAway("down")

    told = Scrapes(replace(site.resources, read_breakers=away)).read()
    assert (told.redis_up, told.broker_up) == (False, None)
    assert "breaker_open" not in told.samples
    assert "reviews_waiting" in told.samples


@contextmanager
def _locked(site: Site) -> Iterator[None]:
    """A store that hangs: whoever reads tasks waits."""
    with site.engine.begin() as connection:
        connection.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        yield


def test_a_store_that_hangs_is_told_in_time_and_comes_back(site: Site) -> None:
    looks = Scrapes(site.resources, patience_seconds=0.3)
    assert "queue_depth" in looks.read().samples
    with _locked(site):
        for _ in range(3):  # those that come while one hangs wait no longer than it
            begun = time.monotonic()
            with pytest.raises(Unavailable, match="in time"):
                looks.read()
            assert time.monotonic() - begun < 3
    deadline = time.monotonic() + 20
    while not _answers(looks):
        assert time.monotonic() < deadline


def _answers(looks: Scrapes) -> bool:
    try:
        return "queue_depth" in looks.read().samples
    except Unavailable:
        return False


def test_what_breaks_while_it_is_read_is_told_as_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(scrapes, "read_now", broken)
    with pytest.raises(Unavailable, match="ZeroDivisionError"):
        Scrapes(site.resources).read()


def test_requests_are_counted_by_route_and_no_address_gets_in(site: Site) -> None:
    for _ in range(2):
        httpx2.get(f"{site.url}/v1/tasks/{uuid4()}")
    httpx2.request("BREW", f"{site.url}/secret-word/{uuid4()}")
    told = httpx2.get(f"{site.url}/metrics").text
    assert (
        'fleet_http_requests_total{method="GET",route="/v1/tasks/{task_id}",status="401"}' in told
    )
    assert "secret-word" not in told
    assert "BREW" not in told


def test_the_sums_of_all_tenants_are_read_once(site: Site) -> None:
    key = DayKey(tenant="acme", day=TODAY, agent="billing", offline=False)
    with site.engine.begin() as connection:
        add_counts(
            connection, {key: Counts(alone=1), replace(key, tenant="globex"): Counts(alone=2)}
        )
        samples = read_lately(connection, load_catalogue(), {})
    assert _value(samples["automated_tasks_total"], "billing", "real") == 3
