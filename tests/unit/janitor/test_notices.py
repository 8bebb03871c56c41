"""What people are told, when, and that they are told it once."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select, text

from fleet_contracts.envelope import build_envelope
from fleet_contracts.reviews import Notice
from fleet_workers.agents import load_catalogue
from fleet_workers.desk_file import DeskFile, QuietHours
from fleet_workers.janitor.agent_troubles import TroubleFinder
from fleet_workers.janitor.notices import NoticeClerk
from fleet_workers.janitor.quiet_hours import is_quiet
from fleet_workers.resilience.breaker_records import Record
from fleet_workers.resilience.redis_link import RedisAway
from fleet_workers.store import pauses, switches, tasks
from fleet_workers.store.accounts import add_tenant
from fleet_workers.store.desk_tables import deliveries
from fleet_workers.store.leases import PRESENCE_LOCKS
from fleet_workers.store.tables import reviews

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
CATALOGUE = load_catalogue()
MINUTE = timedelta(minutes=1)
OPEN_BREAKER = Record(granted=False, failures=5, probe_in_seconds=9, claim_seconds=0)


class Desk:
    """A clerk on a clock of the test's own."""

    def __init__(self, engine: Engine, **section: Any) -> None:
        self.engine = engine
        self.now = NOON
        self.breakers: Mapping[str, Record] | None = {}
        values = {"name": "team", "to": ["team@acme.example"], **section}
        self.file = DeskFile.model_validate(
            {
                "public_url": "https://desk.example/",
                "mail": {"host": "127.0.0.1", "sender": "fleet@acme.example"},
                "webhooks": [{"name": "pager", "url": "http://p.example/", "secret": "S"}],
                "notices": [values],
            }
        )
        self.clerk = self.another_clerk()

    def another_clerk(self) -> NoticeClerk:
        return NoticeClerk(
            self.engine,
            self.file,
            TroubleFinder(CATALOGUE, self._read_breakers),
            now=lambda _: self.now,
            clock=self.seconds,
        )

    def seconds(self) -> float:
        return (self.now - NOON).total_seconds()

    def _read_breakers(self) -> Mapping[str, Record]:
        if self.breakers is None:
            raise RedisAway("away")
        return self.breakers

    def look(self, after: timedelta = timedelta(seconds=15)) -> list[Notice]:
        """Let time pass and look; gives what is told now."""
        before = len(self.told())
        self.now += after
        self.clerk.work()
        return self.told()[before:]

    def watch(self, span: timedelta) -> list[Notice]:
        """Look every 15 seconds, or every minute for a long time."""
        step = timedelta(seconds=15) if span <= 5 * MINUTE else MINUTE
        return [each for _ in range(int(span / step)) for each in self.look(step)]

    def told(self) -> list[Notice]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(deliveries).order_by(deliveries.c.created_at))
            return [Notice.model_validate(row.body["notice"]) for row in rows]

    def open(self, **values: Any) -> None:
        row = {
            "id": uuid4(),
            "task_id": uuid4(),
            "tenant": "acme",
            "agent": "billing",
            "kind": "approval",
            "reason": "r",
            "packet": {"request": "a customer's own words"},
            "created_at": self.now,
            "due_at": self.now + timedelta(hours=4),
            **values,
        }
        self.change(insert(reviews).values(row))

    def change(self, *statements: Any) -> None:
        with self.engine.begin() as connection:
            for each in statements:
                connection.execute(text(each) if isinstance(each, str) else each)

    def queue(self, agent: str = "billing", tenant: str = "acme") -> None:
        envelope = build_envelope(tenant=tenant, agent=agent, input="x")
        with self.engine.begin() as connection:
            add_tenant(connection, tenant)
            assert tasks.accept(connection, envelope, traceparent=None)


def test_new_reviews_are_told_at_once_and_what_follows_in_one_digest(engine: Engine) -> None:
    desk = Desk(engine)
    assert desk.look() == []
    desk.open()
    (first,) = desk.look()
    assert first.subject == "Agent Fleet: 1 review waits"
    assert "- acme: 1 waiting, 1 new; the oldest since 2026-03-04 12:00 UTC" in first.text
    assert "https://desk.example/console/reviews" in first.text
    for _ in range(3):
        desk.open(group="refunds")
        assert desk.look(MINUTE) == []
    (second,) = desk.watch(15 * MINUTE)
    assert [(each.group, each.new, each.waiting) for each in second.waiting] == [("refunds", 3, 3)]
    assert desk.watch(30 * MINUTE) == []


def test_an_urgent_review_that_becomes_overdue_is_told_at_night_too(engine: Engine) -> None:
    desk = Desk(engine, **QUIET)
    desk.now = datetime(2026, 3, 4, 22, 0, tzinfo=UTC)
    desk.open(due_at=desk.now + 30 * MINUTE)
    desk.change("UPDATE reviews SET priority = 0")
    assert [each.subject for each in desk.watch(60 * MINUTE)] == [
        "Agent Fleet: 1 review waits (1 urgent)",
        "Agent Fleet: 1 review waits (1 urgent), 1 is overdue",
    ]


def test_a_review_whose_transaction_commits_late_is_told(engine: Engine) -> None:
    desk = Desk(engine)
    desk.open()
    desk.look()
    # Given one that began three seconds before the last notice, and was not there then
    desk.open(created_at=desk.now - timedelta(seconds=3), group="late")
    (notice,) = desk.watch(16 * MINUTE)
    assert [(each.group, each.new) for each in notice.waiting] == [("late", 1)]


def test_no_word_of_a_customer_stands_in_a_notice(engine: Engine) -> None:
    desk = Desk(engine)
    desk.open()
    (notice,) = desk.look()
    assert "own words" not in notice.model_dump_json()


def test_what_is_overdue_is_told_once(engine: Engine) -> None:
    desk = Desk(engine)
    desk.open(due_at=desk.now + 30 * MINUTE)
    desk.look()
    (notice,) = desk.watch(60 * MINUTE)
    assert notice.subject == "Agent Fleet: 1 is overdue"
    assert notice.waiting[0].overdue == 1


def test_what_is_decided_before_the_digest_is_not_told(engine: Engine) -> None:
    desk = Desk(engine)
    desk.open()
    desk.look()
    desk.open(group="refunds")
    desk.change("UPDATE reviews SET state = 'resumed'")
    assert desk.watch(30 * MINUTE) == []


def test_what_somebody_works_on_is_not_called_new(engine: Engine) -> None:
    desk = Desk(engine)
    desk.open(claimed_by="ann", claimed_until=desk.now + 10 * MINUTE)
    assert desk.watch(9 * MINUTE) == []
    assert len(desk.watch(5 * MINUTE)) == 1


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"tenants": ["acme"]}, [("acme", None), ("acme", "refunds")]),
        ({"groups": ["refunds"]}, [("acme", "refunds"), ("globex", "refunds")]),
        ({"tenants": ["nobody"]}, []),
        ({"about": ["degraded", "offline"]}, []),
    ],
)
def test_a_section_is_told_what_it_asks_for(
    engine: Engine, section: dict[str, Any], told: list[Any]
) -> None:
    desk = Desk(engine, **section)
    for tenant in ("acme", "globex"):
        desk.open(tenant=tenant, group="refunds")
    desk.open()
    found = [(each.tenant, each.group) for notice in desk.look() for each in notice.waiting]
    assert sorted(found, key=str) == sorted(told, key=str)


QUIET = {"quiet": {"start": "22:00", "end": "07:00", "zone": "Europe/Berlin"}}


def test_at_night_only_what_is_urgent_is_told_and_the_rest_in_the_morning(engine: Engine) -> None:
    desk = Desk(engine, **QUIET)
    desk.now = datetime(2026, 3, 4, 21, 30, tzinfo=UTC)  # 22:30 in Berlin
    desk.open()
    desk.breakers = {"tool refund_payment": OPEN_BREAKER}
    assert desk.watch(60 * MINUTE) == []
    desk.open(priority=0, group="fraud", due_at=desk.now + timedelta(hours=12))
    (urgent,) = desk.watch(60 * MINUTE)
    assert [each.group for each in urgent.waiting] == ["fraud"]
    assert urgent.degraded == ()
    assert urgent.subject == "Agent Fleet: 1 review waits (1 urgent)"
    desk.now = datetime(2026, 3, 5, 5, 58, tzinfo=UTC)
    assert desk.watch(MINUTE) == []
    (morning,) = desk.watch(5 * MINUTE)
    assert desk.now > datetime(2026, 3, 5, 6, 0, tzinfo=UTC)
    assert {(each.group, each.new) for each in morning.waiting} == {(None, 1), ("fraud", 1)}
    assert [each.agent for each in morning.degraded] == ["billing"]


@pytest.mark.parametrize(
    ("evening", "morning"),
    [
        # The night in which the clocks go forward is an hour shorter, the other one longer
        ("2026-03-28T21:00:00+00:00", "2026-03-29T05:00:00+00:00"),
        ("2026-10-24T20:00:00+00:00", "2026-10-25T06:00:00+00:00"),
        ("2026-06-01T20:00:00+00:00", "2026-06-02T05:00:00+00:00"),
    ],
)
def test_quiet_hours_follow_the_clocks_on_the_wall(
    engine: Engine, evening: str, morning: str
) -> None:
    desk = Desk(engine, **QUIET)
    begins, ends = datetime.fromisoformat(evening), datetime.fromisoformat(morning)
    desk.now = begins
    desk.open()
    while desk.now < ends - 15 * MINUTE:
        assert desk.look(15 * MINUTE) == []
    assert len(desk.watch(20 * MINUTE)) == 1
    assert ends <= desk.now < ends + 10 * MINUTE


@pytest.mark.parametrize(
    ("start", "end", "utc", "quiet"),
    [
        ("22:00", "07:00", "2026-03-04T22:59:59+00:00", True),
        ("22:00", "07:00", "2026-03-05T05:59:59+00:00", True),
        ("22:00", "07:00", "2026-03-05T06:00:00+00:00", False),
        ("12:00", "14:00", "2026-03-05T11:00:00+00:00", True),
        ("12:00", "14:00", "2026-03-05T13:00:00+00:00", False),
        ("09:00", "09:00", "2026-03-05T08:00:00+00:00", False),
        # 02:30 comes twice when the clocks go back, and not at all when they go forward
        ("02:00", "03:00", "2026-10-25T00:30:00+00:00", True),
        ("02:00", "03:00", "2026-10-25T01:30:00+00:00", True),
        ("02:00", "03:00", "2026-10-25T02:00:00+00:00", False),
        ("02:00", "03:00", "2026-03-29T00:59:59+00:00", False),
        ("02:00", "03:00", "2026-03-29T01:00:00+00:00", False),
    ],
)
def test_which_moments_are_quiet(start: str, end: str, utc: str, quiet: bool) -> None:
    hours = QuietHours.model_validate({"start": start, "end": end, "zone": "Europe/Berlin"})
    assert is_quiet(hours, datetime.fromisoformat(utc)) is quiet


@given(st.integers(0, 2**31), st.times(), st.times())
def test_a_moment_is_quiet_by_night_or_by_day(seconds: int, start: Any, end: Any) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    assume(start != end)
    for zone in ("America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"):
        night = QuietHours(start=start, end=end, zone=zone)
        day = QuietHours(start=end, end=start, zone=zone)
        assert is_quiet(night, now) != is_quiet(day, now)


def test_a_breaker_that_stays_open_degrades_the_agents_that_need_it(engine: Engine) -> None:
    desk = Desk(engine)
    desk.breakers = {"tool refund_payment": OPEN_BREAKER, "tool of_nobody": OPEN_BREAKER}
    assert desk.look() == []
    (notice,) = desk.watch(2 * MINUTE)
    (trouble,) = notice.degraded
    assert (trouble.agent, trouble.why) == ("billing", "Refund payment does not answer.")
    assert notice.subject == "Agent Fleet: billing is degraded"
    desk.breakers = {}
    (well,) = desk.watch(30 * MINUTE)
    assert well.well_again == ("billing",)
    assert well.subject == "Agent Fleet: billing is well again"
    assert desk.watch(30 * MINUTE) == []


def test_a_breaker_that_comes_and_goes_is_not_told(engine: Engine) -> None:
    desk = Desk(engine)
    for _ in range(20):
        desk.breakers = {"tool refund_payment": OPEN_BREAKER}
        assert desk.look() == []
        desk.breakers = {}
        assert desk.look() == []
    # And one that was told is not well because it closed for a moment
    desk.breakers = {"tool refund_payment": OPEN_BREAKER}
    assert len(desk.watch(2 * MINUTE)) == 1
    for _ in range(80):
        desk.breakers = {} if desk.breakers else {"tool refund_payment": OPEN_BREAKER}
        assert desk.look() == []


def test_while_redis_is_away_nothing_is_called_well(engine: Engine) -> None:
    desk = Desk(engine)
    desk.breakers = {"model small-1": OPEN_BREAKER}
    (notice,) = desk.watch(2 * MINUTE)
    assert len(notice.degraded) == len(list(CATALOGUE))
    desk.breakers = None
    assert desk.watch(60 * MINUTE) == []


def test_a_disabled_tool_is_told_to_those_whom_it_concerns(engine: Engine) -> None:
    desk = Desk(engine, tenants=["acme"])

    def disable(tenant: str) -> None:
        with engine.begin() as connection:
            switches.disable(
                connection,
                tool="refund_payment",
                tenant=tenant,
                agent="*",
                reason="The bank\nis closed",
                disabled_by="ann",
            )

    disable("globex")
    assert desk.watch(2 * MINUTE) == []
    disable("acme")
    (notice,) = desk.watch(2 * MINUTE)
    assert "Refund payment is disabled for acme by ann since" in notice.degraded[0].why
    assert "The bank is closed" in notice.text


def test_an_agent_without_a_worker_is_offline_once_tasks_wait_for_a_minute(
    engine: Engine,
) -> None:
    desk = Desk(engine)
    desk.queue()
    assert desk.watch(MINUTE) == []
    (notice,) = desk.watch(MINUTE)
    assert notice.subject == "Agent Fleet: billing is offline"
    assert "1 task waits, and no worker is there to take them." in notice.offline[0].why
    assert "fleetctl worker billing" in notice.text
    desk.change("UPDATE tasks SET state = 'succeeded'")
    (well,) = desk.watch(10 * MINUTE)
    assert well.well_again == ("billing",)


def test_an_agent_whose_worker_is_there_busy_or_paused_is_not_offline(engine: Engine) -> None:
    desk = Desk(engine)
    desk.queue()
    with engine.connect() as worker:
        worker.execute(
            text("SELECT set_config('application_name', 'pool 100 billing auto', false)")
        )
        worker.execute(text(f"SELECT pg_advisory_lock({PRESENCE_LOCKS}, 7)"))
        worker.commit()
        assert desk.watch(3 * MINUTE) == []
        worker.execute(text("SELECT pg_advisory_unlock_all()"))
        worker.execute(text("RESET application_name"))
        worker.commit()
    desk.queue("onboarding")
    desk.change("UPDATE tasks SET state = 'running' WHERE agent = 'onboarding'")
    desk.queue("onboarding")
    with engine.begin() as connection:
        pauses.pause(connection, agent="billing", tenant="*", reason="r", paused_by="ann")
    assert desk.watch(3 * MINUTE) == []


def test_offline_is_told_at_night_and_does_not_wait_for_a_long_digest(engine: Engine) -> None:
    desk = Desk(engine, digest_minutes=24 * 60, **QUIET)
    desk.open()
    assert len(desk.look()) == 1
    desk.open()
    desk.now = datetime(2026, 3, 4, 23, 0, tzinfo=UTC)
    desk.queue()
    (notice,) = desk.watch(10 * MINUTE)
    assert [each.agent for each in notice.offline] == ["billing"]
    assert notice.waiting == ()


def test_many_janitors_tell_it_once(engine: Engine) -> None:
    desk = Desk(engine, webhook="pager")
    desk.open()
    desk.now += MINUTE
    clerks = [desk.another_clerk() for _ in range(8)]
    threads = [threading.Thread(target=each.work) for each in clerks]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with engine.connect() as connection:
        channels = connection.execute(select(deliveries.c.channel)).scalars().all()
    assert sorted(channels) == ["mail", "webhook:pager"]


def test_a_janitor_that_starts_anew_tells_nothing_twice(engine: Engine) -> None:
    desk = Desk(engine)
    desk.open()
    desk.queue()
    assert len(desk.watch(10 * MINUTE)) == 2
    for _ in range(5):
        desk.clerk = desk.another_clerk()
        assert desk.watch(20 * MINUTE) == []


@pytest.mark.parametrize("body", ["{}", "[]", '{"state": {"told_to": 7}}', '{"state": null}'])
def test_a_last_notice_that_cannot_be_read_stops_nothing(engine: Engine, body: str) -> None:
    desk = Desk(engine)
    desk.open()
    desk.look()
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE deliveries SET body = CAST(:body AS jsonb)"), {"body": body}
        )
    desk.now += 20 * MINUTE
    desk.clerk.work()
    with engine.connect() as connection:
        assert len(connection.execute(select(deliveries.c.id)).all()) == 2


def test_a_clock_that_was_put_back_stops_no_notice(engine: Engine) -> None:
    desk = Desk(engine)
    desk.open()
    assert len(desk.look()) == 1
    desk.now -= timedelta(days=2)
    desk.open()
    assert len(desk.look()) == 1
    assert desk.watch(5 * MINUTE) == []


def test_hundreds_of_groups_make_one_notice_of_readable_length(engine: Engine) -> None:
    desk = Desk(engine)
    for number in range(200):
        desk.open(group=f"group-{number}", priority=0 if number == 150 else 2)
    (notice,) = desk.look()
    assert notice.subject == "Agent Fleet: 200 reviews wait (1 urgent)"
    assert "- and 150 more groups" in notice.text
    assert notice.waiting[0].group == "group-150"
    assert len(notice.text) < 10_000


def test_ten_thousand_waiting_are_counted_in_a_moment(engine: Engine) -> None:
    desk = Desk(engine)
    desk.change(
        "INSERT INTO reviews (id, task_id, tenant, agent, kind, reason, packet, created_at) "
        "SELECT gen_random_uuid(), gen_random_uuid(), 'acme', 'billing', 'approval', 'r', '{}', "
        "'2026-03-04' FROM generate_series(1, 10000)"
    )
    took = _seconds(desk.clerk.work)
    assert took < 0.5, took
    assert desk.told()[0].waiting[0].waiting == 10_000


def _seconds(work: Callable[[], object]) -> float:
    begun = datetime.now(UTC)
    work()
    return (datetime.now(UTC) - begun).total_seconds()
