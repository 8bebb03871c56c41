"""Schedules: one task a time, whatever happens to janitors and clocks."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from fleet_contracts.errors import InvalidInput
from fleet_workers.agents import AgentCatalogue, load_catalogue
from fleet_workers.janitor.schedules import ScheduleClerk
from fleet_workers.store import accounts, schedule_runs, schedules
from fleet_workers.store.outbox import Letter
from fleet_workers.store.schedule_models import Change, Missed, NewSchedule, Schedule

CATALOGUE = load_catalogue(())
YEARLY = "0 3 1 1 *"
NEW_YEAR = datetime(datetime.now(UTC).year, 1, 1, 3, tzinfo=UTC)
TASK = {"agent": "billing", "input": "Send the weekly figures."}


class Fleet:
    """A store with schedules, and janitors that look after them."""

    def __init__(self, engine: Engine, catalogue: AgentCatalogue = CATALOGUE) -> None:
        self.engine = engine
        self.sent: list[Letter] = []
        self.clerk = ScheduleClerk(engine, catalogue, send=self._send)

    def _send(self, letters: Sequence[Letter]) -> None:
        self.sent += letters

    def add(self, **fields: Any) -> Schedule:
        values = {"tenant": "acme", "name": str(uuid4()), "cron": "* * * * *", "task": TASK}
        with self.engine.begin() as connection:
            return schedules.add(connection, NewSchedule(**{**values, **fields}), by="tests")

    def add_due(self, number: int) -> list[Schedule]:
        """Schedules whose only time so far this year nobody was there for."""
        with self.engine.begin() as connection:
            added = [
                schedules.add(
                    connection,
                    NewSchedule(tenant="acme", name=str(uuid4()), cron=YEARLY, task=TASK),
                    by="tests",
                )
                for _ in range(number)
            ]
            connection.execute(text("UPDATE schedules SET next_at = :at"), {"at": NEW_YEAR})
        return added

    def change(self, schedule: Schedule, **fields: Any) -> Schedule:
        with self.engine.begin() as connection:
            return schedules.change(connection, schedule, Change(**fields), by="tests")

    def let_be_due(self, schedule: Schedule, since: timedelta = timedelta(0)) -> datetime:
        """As if its next time had been so long ago; gives that time."""
        moment = datetime.now(UTC).replace(second=0, microsecond=0) - since
        self.write(schedule, next_at=moment)
        return moment

    def write(self, schedule: Schedule, **columns: Any) -> None:
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        with self.engine.begin() as connection:
            connection.execute(
                text(f"UPDATE schedules SET {changes} WHERE id = :id"),  # noqa: S608 constants
                {**columns, "id": schedule.id},
            )

    def now(self, schedule: Schedule) -> Schedule:
        with self.engine.begin() as connection:
            return schedules.find(connection, schedule.id, tenant=None)

    def times(self, schedule: Schedule) -> list[datetime]:
        """For which times there are tasks."""
        with self.engine.begin() as connection:
            found = connection.execute(
                text(
                    "SELECT envelope -> 'metadata' ->> 'scheduled_for' FROM tasks"
                    " WHERE envelope -> 'metadata' ->> 'schedule' = :name"
                ),
                {"name": schedule.name},
            )
            return sorted(datetime.fromisoformat(each) for each in found.scalars())


@pytest.fixture
def fleet(engine: Engine) -> Fleet:
    with engine.begin() as connection:
        accounts.add_tenant(connection, "acme")
    return Fleet(engine)


def test_a_time_comes_to_one_task_with_its_message(fleet: Fleet) -> None:
    task = {**TASK, "customer": "c1", "metadata": {"team": "finance"}}
    schedule = fleet.add(task=task, cron=YEARLY)
    assert schedule.next_at == NEW_YEAR.replace(year=NEW_YEAR.year + 1)
    assert fleet.clerk.work() == 0
    fleet.write(schedule, next_at=NEW_YEAR)
    assert fleet.clerk.work() == 1
    assert fleet.times(schedule) == [NEW_YEAR]
    assert [letter.message.routing_key for letter in fleet.sent] == ["agent.billing"]
    after = fleet.now(schedule)
    assert after.last_at == NEW_YEAR
    assert after.next_at == schedule.next_at
    with fleet.engine.begin() as connection:
        envelope = connection.execute(
            text("SELECT envelope FROM tasks WHERE id = :id"), {"id": after.last_task}
        ).scalar_one()
    assert envelope["customer"] == "c1"
    assert envelope["metadata"]["team"] == "finance"
    assert fleet.clerk.work() == 0


def test_of_three_janitors_at_once_none_fires_a_time_twice(fleet: Fleet) -> None:
    many = fleet.add_due(150)
    janitors = [Fleet(fleet.engine) for _ in range(3)]

    def work(janitor: Fleet) -> int:
        done = 0
        while touched := janitor.clerk.work():
            done += touched
        return done

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, janitors)) == 150
    assert all(fleet.times(each) == [NEW_YEAR] for each in many)
    assert sum(len(each.sent) for each in janitors) == 150


_JANITOR = """
import sys, time
from fleet_workers.agents import load_catalogue
from fleet_workers.janitor.schedules import ScheduleClerk
from fleet_workers.store import schedule_runs
from fleet_workers.store.engine import open_engine
fire = schedule_runs.fire
def slowly(*args):
    fired = fire(*args)
    print("fired", flush=True)
    time.sleep(0.05)
    return fired
schedule_runs.fire = slowly
clerk = ScheduleClerk(
    open_engine(sys.argv[1], connections=1, application="tests"),
    load_catalogue(()),
    send=lambda letters: None,
)
while True:
    clerk.work()
"""


def test_a_janitor_that_is_killed_half_way_leaves_no_time_out(fleet: Fleet) -> None:
    many = fleet.add_due(60)
    url = fleet.engine.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", _JANITOR, url], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        fired = (line for line in killed.stdout if line == "fired\n")
        for _ in islice(fired, 25):  # in the middle of the second transaction
            pass
        killed.kill()
    ends_at = time.monotonic() + 60
    while any(not fleet.times(each) for each in many) and time.monotonic() < ends_at:
        fleet.clerk.work()
    assert Counter(len(fleet.times(each)) for each in many) == {1: 60}
    with fleet.engine.begin() as connection:
        letters = connection.execute(text("SELECT count(*) FROM outbox")).scalar_one()
    assert letters == 60


@pytest.mark.parametrize(
    ("missed", "made_up"), [(Missed.ONCE, 1), (Missed.SKIP, 1), (Missed.ALL, 31)]
)
def test_what_nobody_was_there_for_is_made_up_as_the_schedule_says(
    fleet: Fleet, missed: Missed, made_up: int
) -> None:
    schedule = fleet.add(missed=missed)
    minute = timedelta(minutes=1)
    oldest = fleet.let_be_due(schedule, 30 * minute)
    fleet.clerk.work()
    times = fleet.times(schedule)
    assert abs(len(times) - made_up) <= 1  # a minute may begin meanwhile
    assert times[-1] >= oldest + 30 * minute
    if missed is Missed.ALL:
        assert times[:31] == [oldest + number * minute for number in range(31)]


def test_one_that_skips_lets_old_times_pass(fleet: Fleet) -> None:
    schedule = fleet.add(missed=Missed.SKIP, cron=YEARLY)
    fleet.write(schedule, next_at=NEW_YEAR)
    assert fleet.clerk.work() == 1
    assert fleet.times(schedule) == []
    assert fleet.now(schedule).next_at == NEW_YEAR.replace(year=NEW_YEAR.year + 1)


def test_no_more_than_a_hundred_are_made_up(fleet: Fleet) -> None:
    schedule = fleet.add(missed=Missed.ALL)
    fleet.let_be_due(schedule, timedelta(days=30))
    fleet.clerk.work()
    assert len(fleet.times(schedule)) == 100


def test_a_clock_that_was_put_back_neither_stops_a_schedule_nor_repeats_a_time(
    fleet: Fleet,
) -> None:
    # Given a time that has come, and a next one reckoned while the clock was far ahead
    schedule = fleet.add(cron=YEARLY)
    fleet.write(schedule, next_at=NEW_YEAR)
    fleet.clerk.work()
    ahead = datetime.now(UTC) + timedelta(hours=2)
    fleet.write(schedule, next_at=NEW_YEAR.replace(year=2099), reckoned_at=ahead)
    assert fleet.clerk.work() == 0
    # Then its next time is that of the clock by now
    assert fleet.clerk.mend_times() == 1
    assert fleet.clerk.mend_times() == 0
    assert fleet.now(schedule).next_at == schedule.next_at
    # And a time that comes once more finds its task
    fleet.write(schedule, next_at=NEW_YEAR)
    assert fleet.clerk.work() == 1
    assert fleet.times(schedule) == [NEW_YEAR]
    assert len(fleet.sent) == 1


def test_a_changed_task_does_not_fire_a_time_again(fleet: Fleet) -> None:
    [schedule] = fleet.add_due(1)
    fleet.clerk.work()
    fleet.change(schedule, task={**TASK, "input": "Something else."})
    fleet.write(schedule, next_at=NEW_YEAR)
    assert fleet.clerk.work() == 1
    assert fleet.times(schedule) == [NEW_YEAR]
    assert fleet.now(schedule).last_error is None


def test_a_disabled_one_waits_and_makes_up_nothing(fleet: Fleet) -> None:
    schedule = fleet.add(missed=Missed.ALL)
    fleet.let_be_due(schedule, timedelta(hours=1))
    fleet.change(schedule, enabled=False)
    assert fleet.clerk.work() == 0
    assert fleet.now(schedule).next_at is None
    again = fleet.change(fleet.now(schedule), enabled=True)
    assert again.next_at is not None
    assert again.next_at > datetime.now(UTC)
    assert fleet.times(schedule) == []


def test_an_agent_that_is_gone_is_told_and_the_next_time_is_tried(fleet: Fleet) -> None:
    schedule = fleet.add(cron=YEARLY, task={"agent": "gone", "input": "hello"})
    [good] = fleet.add_due(1)
    assert fleet.clerk.work() == 2
    after = fleet.now(schedule)
    assert "gone" in str(after.last_error)
    assert after.next_at == schedule.next_at
    assert fleet.times(schedule) == []
    assert len(fleet.times(good)) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        {"cron": "not a cron"},
        {"zone": "Mars/Olympus"},
        {"task": '{"agent": 7}'},
        {"task": '{"input": "x", "deadline": "2027-01-01T00:00:00Z"}'},
        {"task": '{"agent": "billing", "input": "x", "metadata": 3}'},
    ],
    ids=str,
)
def test_a_row_that_was_broken_from_outside_stops_no_other(
    fleet: Fleet, garbage: dict[str, str]
) -> None:
    broken, good = fleet.add_due(2)
    fleet.write(broken, **garbage)
    assert fleet.clerk.work() == 2
    assert fleet.times(broken) == []
    assert fleet.now(broken).last_error
    assert len(fleet.times(good)) == 1
    assert fleet.clerk.work() == 0


def test_a_run_by_hand_comes_beside_its_times(fleet: Fleet) -> None:
    schedule = fleet.add(enabled=False)
    with fleet.engine.begin() as connection:
        first = schedule_runs.run_now(connection, schedule, by="tests")
        second = schedule_runs.run_now(connection, schedule, by="tests")
    assert first.task_id != second.task_id
    assert len(first.letters) == 1
    assert len(fleet.times(schedule)) == 2


def test_each_run_of_a_debounced_one_waits_for_a_later_one(fleet: Fleet) -> None:
    schedule = fleet.add(task={**TASK, "debounce_key": "figures", "debounce_seconds": 60})
    with fleet.engine.begin() as connection:
        first = schedule_runs.run_now(connection, schedule, by="tests")
        schedule_runs.run_now(connection, schedule, by="tests")
        state = connection.execute(
            text("SELECT state FROM tasks WHERE id = :id"), {"id": first.task_id}
        ).scalar_one()
    assert (first.letters, state) == ([], "cancelled")


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"name": " "}, "a name of 1 to 200"),
        ({"name": "x" * 201}, "a name of 1 to 200"),
        ({"name": "a\nb"}, "a name of 1 to 200"),
        ({"cron": "soon"}, "five fields"),
        ({"zone": "Mars/Olympus"}, "Europe/Berlin"),
        ({"task": {}}, "input is missing"),
        ({"task": {"input": "x", "colour": "red"}}, "colour is not a field"),
        ({"task": {"input": "x", "id": str(uuid4())}}, "has no id"),
        ({"task": {"input": "x", "idempotency_key": "k"}}, "has no idempotency_key"),
        ({"task": {"input": "x", "deadline": "2027-01-01T00:00:00Z"}}, "has no deadline"),
        ({"task": {"input": "x", "metadata": {str(n): "" for n in range(50)}}}, "at most 50"),
        ({"task": {"input": "x" * 300_000}}, "262,144"),
    ],
)
def test_what_cannot_come_to_tasks_is_refused(
    fleet: Fleet, fields: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(InvalidInput, match=remedy):
        fleet.add(**fields)


def test_who_changed_what_stands_in_the_audit_trail(fleet: Fleet) -> None:
    schedule = fleet.add(name="figures")
    with pytest.raises(InvalidInput, match="'figures'"):
        fleet.add(name="figures")
    changed = fleet.change(schedule, cron="0 8 * * *")
    assert fleet.change(changed, cron="0 8 * * *") == changed
    fleet.change(changed, enabled=False)
    with fleet.engine.begin() as connection:
        schedules.remove(connection, schedule, by="tests")
        assert not schedules.remove(connection, schedule, by="tests")
        found = connection.execute(
            text(
                "SELECT what, who FROM audit_inbox WHERE kind = 'schedule'"
                " AND detail ->> 'schedule' = :id ORDER BY id"
            ),
            {"id": str(schedule.id)},
        ).all()
    assert [tuple(row) for row in found] == [
        (f"schedule {what}", "tests") for what in ("added", "changed", "disabled", "removed")
    ]
