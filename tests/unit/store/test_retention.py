"""What is older than the policy keeps it goes, and nothing else."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError

from fleet_contracts.errors import Unavailable
from fleet_contracts.ids import new_task_id
from fleet_workers.janitor.retention import RetentionClerk, move_journals
from fleet_workers.retention_policy import RetentionSection, TenantRetention
from fleet_workers.store import dead_letters, finished_steps, labels, retention
from fleet_workers.store.engine import open_engine
from fleet_workers.store.journal import read_steps
from fleet_workers.store.partitions import Month, make_month, months_of
from fleet_workers.store.retention import ClockLeapt
from fleet_workers.store.row_security import for_tenant
from fleet_workers.store.tables import steps, tasks
from fleet_workers.store.views import epochs_of
from support.databases import empty_tables, temporary_store
from support.ended_tasks import Ended, write_ended

DAY = timedelta(days=1)
POLICY = RetentionSection()


@pytest.fixture(scope="module")
def database() -> Iterator[Engine]:
    with temporary_store(connections=6) as engine:
        yield engine


@pytest.fixture(autouse=True)
def engine(database: Engine) -> Engine:
    with database.begin() as connection:
        empty_tables(connection)
        connection.execute(text("INSERT INTO tenants (name) VALUES ('acme'), ('globex')"))
    return database


def ended(engine: Engine, *, days: float, **more: Any) -> UUID:
    """A task that ended so many days ago; gives its id."""
    task = Ended(ago=DAY * days, **more)
    write_ended(engine, [task])
    return task.id


def delete_old(engine: Engine, policy: RetentionSection = POLICY, **more: int) -> dict[str, int]:
    """One round; gives what it deleted by table."""
    rows: Counter[str] = Counter()
    for each in retention.delete_old(engine, policy, **more):
        rows[each.table] += each.rows
    return {table: number for table, number in rows.items() if number}


def move(engine: Engine) -> None:
    while move_journals(engine):
        pass


def ids(engine: Engine, statement: str = "SELECT id FROM tasks") -> set[Any]:
    with engine.connect() as connection:
        return set(connection.execute(text(statement)).scalars())


def run(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def journal(engine: Engine, task_id: UUID) -> list[Any]:
    with engine.connect() as connection:
        return read_steps(connection, task_id)


def test_a_finished_journal_is_moved_after_a_day_and_reads_the_same(engine: Engine) -> None:
    old, young = ended(engine, days=40), ended(engine, days=0.5)
    before = journal(engine, old)
    move(engine)
    assert ids(engine, "SELECT task_id FROM steps") == {young}
    assert journal(engine, old) == before
    with engine.connect() as connection:
        assert epochs_of(connection, old) == {0: 1}
        there = connection.execute(text("SELECT tableoid::regclass::text FROM finished_steps"))
        assert Month.of(datetime.now(UTC) - 40 * DAY) in months_of(connection, "finished_steps")
        assert "_y" in there.scalar_one()


def test_what_may_still_be_worked_on_is_not_moved(engine: Engine) -> None:
    dead = ended(engine, days=3, state="dead")
    reserved = ended(engine, days=3)
    run(
        engine,
        "INSERT INTO spend_entries (key, kind, task_id, tenant, agent, purpose, amount_usd, "
        "counted, day) VALUES ('k', 'cost', :id, 'acme', 'billing', 'p', 1, '[]', now())",
        id=reserved,
    )
    done = ended(engine, days=2)
    move(engine)
    assert ids(engine, "SELECT task_id FROM steps") == {dead, reserved}
    assert journal(engine, done)


def test_journals_wait_for_the_chore_that_counts_them(engine: Engine) -> None:
    counted, uncounted = ended(engine, days=9), ended(engine, days=3)
    run(engine, "INSERT INTO chore_marks VALUES ('quality.tasks', now() - interval '5 days')")
    move(engine)
    assert ids(engine, "SELECT task_id FROM steps") == {uncounted}
    assert journal(engine, counted)


def test_a_label_of_long_ago_knows_whether_the_offline_model_was_at_work(engine: Engine) -> None:
    task_id = ended(engine, days=20, model="offline-small")
    move(engine)
    with engine.connect() as connection:
        assert labels.is_offline(connection, task_id)


def test_a_missing_month_costs_no_row_and_is_made_later(engine: Engine) -> None:
    task_id = ended(engine, days=400)
    run(
        engine,
        "INSERT INTO finished_steps SELECT s.task_id, s.seq, now() - interval '400 days', 'acme', "
        "s.epoch, s.kind, s.name, s.state, s.request, s.result FROM steps AS s",
    )
    run(engine, "DELETE FROM steps")
    month = Month.of(datetime.now(UTC) - 400 * DAY)
    with engine.begin() as connection:
        assert month not in months_of(connection, "finished_steps")
        assert make_month(connection, "finished_steps", "ended_at", month)
        assert make_month(connection, "finished_steps", "ended_at", month)
    assert not ids(engine, "SELECT task_id FROM finished_steps_rest")
    assert len(journal(engine, task_id)) == 1


def test_the_months_of_a_year_are_twelve() -> None:
    month, seen = Month(year=2026, number=11), []
    for _ in range(3):
        seen.append((month.year, month.number))
        month = month.following
    assert seen == [(2026, 11), (2026, 12), (2027, 1)]


def test_each_thing_goes_when_its_days_are_over(engine: Engine) -> None:
    new = {ended(engine, days=days) for days in (1, 89, 122, 300)}
    old = {ended(engine, days=days) for days in (366, 500)}
    move(engine)
    gone = delete_old(engine)
    assert gone["tasks"] == 2
    assert ids(engine) == new
    with_journal = {each for each in new | old if journal(engine, each)}
    assert len(with_journal) == 2


def test_a_month_that_is_old_as_a_whole_goes_as_a_whole(engine: Engine) -> None:
    for days in (200, 201, 5):
        ended(engine, days=days)
    move(engine)
    with engine.begin() as connection:
        before = months_of(connection, "finished_steps")
    delete_old(engine)
    with engine.begin() as connection:
        after = months_of(connection, "finished_steps")
    assert Month.of(datetime.now(UTC) - 200 * DAY) in before
    assert Month.of(datetime.now(UTC) - 200 * DAY) not in after
    assert Month.of(datetime.now(UTC) - 5 * DAY) in after


def test_a_month_that_is_not_over_stays_as_a_whole(engine: Engine) -> None:
    """So nothing is deleted row by row where nobody has days of their own."""
    now = datetime.now(UTC)
    middle = (now - 90 * DAY).replace(day=15)
    days = (now - middle).days
    kept = ended(engine, days=days + 5)
    move(engine)
    delete_old(engine, RetentionSection(journal=days))
    assert len(journal(engine, kept)) == 1
    shorter = RetentionSection(tenants={"acme": TenantRetention(journal=days)})
    delete_old(engine, shorter)
    assert journal(engine, kept) == []


def test_a_tenant_keeps_less_or_more_than_the_others(engine: Engine) -> None:
    policy = RetentionSection(
        journal=30,
        results=30,
        tenants={
            "acme": TenantRetention(journal=5, results=5),
            "globex": TenantRetention(journal="always", results="always"),
        },
    )
    kept = {
        ended(engine, days=4, tenant="acme"),
        ended(engine, days=900, tenant="globex"),
        ended(engine, days=29, tenant="other"),
    }
    ended(engine, days=6, tenant="acme")
    ended(engine, days=31, tenant="other")
    move(engine)
    delete_old(engine, policy)
    assert ids(engine) == kept
    assert ids(engine, "SELECT task_id FROM finished_steps") == kept


def waiting_review(connection: Connection, task_id: UUID, state: str) -> None:
    connection.execute(
        text(
            "INSERT INTO reviews (id, task_id, tenant, agent, kind, reason, state, packet, "
            "decided_at) VALUES (:id, :task, 'acme', 'billing', 'sampled', 'r', :state, '{}', "
            "now() - interval '1000 days')"
        ),
        {"id": new_task_id(), "task": task_id, "state": state},
    )


def test_nothing_that_is_open_goes_however_old(engine: Engine) -> None:
    kept = {
        ended(engine, days=1000, state=state)
        for state in ("queued", "running", "retrying", "in_review")
    }
    run(engine, "UPDATE tasks SET finished_at = NULL")
    with_review, with_letter = ended(engine, days=1000), ended(engine, days=1000, state="dead")
    with engine.begin() as connection:
        waiting_review(connection, with_review, "waiting")
        waiting_review(connection, ended(engine, days=1000), "resumed")
        letter = dead_letters.add(
            connection, reason="r", error="e", body="{}", task_id=with_letter, tenant="acme"
        )
    kept |= {with_review, with_letter}
    move(engine)
    gone = delete_old(engine)
    assert gone["reviews"] == 1
    assert gone["tasks"] == 1
    assert ids(engine) == kept
    assert journal(engine, with_letter)
    run(engine, "UPDATE dead_letters SET created_at = now() - interval '181 days'")
    gone = delete_old(engine)
    assert (gone["dead_letters"], gone["tasks"]) == (1, 1)
    assert letter.id not in ids(engine, "SELECT id FROM dead_letters")


def test_a_journal_that_was_never_moved_goes_as_well(engine: Engine) -> None:
    dead = {ended(engine, days=days, state="dead") for days in (95, 200, 300)}
    young = ended(engine, days=80, state="dead")
    ended(engine, days=95, state="dead", tenant="globex")
    move(engine)
    policy = RetentionSection(tenants={"globex": TenantRetention(journal=100)})
    assert delete_old(engine, policy, batch=2) == {"steps": 3}
    assert dead.isdisjoint(ids(engine, "SELECT task_id FROM steps"))
    assert journal(engine, young)


def test_the_next_round_goes_on_where_one_was_stopped(engine: Engine) -> None:
    for _ in range(12):
        ended(engine, days=400)
    begun = retention.delete_old(engine, POLICY, batch=5)
    while next(begun).rows != 5:
        pass
    begun.close()
    assert delete_old(engine, batch=5)["tasks"] == 12 - 5
    assert ids(engine) == set()


def test_rounds_at_the_same_time_delete_each_row_once(engine: Engine) -> None:
    write_ended(engine, [Ended(ago=400 * DAY) for _ in range(300)])
    found: list[dict[str, int]] = []
    both = [
        threading.Thread(target=lambda: found.append(delete_old(engine, batch=10)))
        for _ in range(3)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert ids(engine) == set()
    assert sum(each.get("tasks", 0) for each in found) == 300


def test_a_row_that_somebody_holds_holds_nobody_up(engine: Engine) -> None:
    held = ended(engine, days=500)
    ended(engine, days=400)
    with engine.begin() as connection:
        connection.execute(select(tasks).where(tasks.c.id == held).with_for_update())
        assert delete_old(engine)["tasks"] == 1
    assert ids(engine) == {held}


def test_a_dry_run_counts_what_a_round_deletes(engine: Engine) -> None:
    for days in (400, 300, 10):
        ended(engine, days=days)
    move(engine)
    with engine.connect() as connection:
        due = {each.table: each.rows for each in retention.count_due(connection, POLICY)}
    assert due["tasks"] == 1
    assert due["finished_steps"] == 2
    assert due["spend_entries"] == 0
    assert delete_old(engine)["tasks"] == due["tasks"]


def test_a_clock_that_leapt_deletes_nothing_until_somebody_says_it_is_right(
    engine: Engine,
) -> None:
    old = ended(engine, days=400)
    run(engine, "INSERT INTO chore_marks VALUES ('retention', now() - interval '8 days')")
    with pytest.raises(ClockLeapt, match="--clock-is-right"):
        delete_old(engine)
    assert RetentionClerk(engine, POLICY).work() == 0
    assert ids(engine) == {old}
    with engine.begin() as connection:
        retention.believe_clock(connection)
    delete_old(engine)
    assert ids(engine) == set()


def test_clocks_that_differ_delete_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        now = datetime.now(UTC).timestamp()
        retention.check_clock(connection, now=lambda: now + 60)
        with pytest.raises(ClockLeapt, match="off this machine"):
            retention.check_clock(connection, now=lambda: now - 7200)


def test_a_clerk_goes_through_all_tables_in_small_steps(engine: Engine) -> None:
    ended(engine, days=400)
    clerk = RetentionClerk(engine, POLICY)
    turns = 0
    while clerk.work():
        turns += 1
    assert turns > 10
    assert ids(engine) == set()


def test_a_store_that_is_away_is_told_and_the_next_round_begins_anew() -> None:
    away = open_engine(
        "postgresql+psycopg://postgres@127.0.0.1:1/none", connections=1, application="tests"
    )
    clerk = RetentionClerk(away, POLICY)
    for _ in range(2):
        with pytest.raises(Unavailable):
            clerk.work()


def test_readers_of_old_months_are_not_waited_for(engine: Engine) -> None:
    ended(engine, days=200)
    move(engine)
    with engine.begin() as connection:
        connection.execute(select(finished_steps.finished_steps))
        delete_old(engine)
        assert months_of(connection, "finished_steps")


def test_a_tenant_sees_its_own_finished_journals_only(engine: Engine) -> None:
    own, foreign = (ended(engine, days=9, tenant=tenant) for tenant in ("acme", "globex"))
    move(engine)
    with for_tenant(engine, "acme").begin() as connection:
        assert len(read_steps(connection, own)) == 1
        assert read_steps(connection, foreign) == []
        partition = next(iter(months_of(connection, "finished_steps").values()))
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text(f"SELECT * FROM {partition}"))  # noqa: S608 our own name


def test_older_code_finds_steps_where_it_writes_them(engine: Engine) -> None:
    """Moving changes no table that code without finished journals knows."""
    assert {column.name for column in steps.primary_key} == {"task_id", "seq"}
    statement = text(
        "INSERT INTO steps (task_id, seq, epoch, kind, name, state, request) "
        "VALUES (:id, 0, 1, 'plan', 'billing', 'started', '{}') "
        "ON CONFLICT (task_id, seq) DO NOTHING RETURNING seq"
    )
    task_id = new_task_id()
    with engine.begin() as connection:
        assert connection.execute(statement, {"id": task_id}).scalar() == 0
        assert connection.execute(statement, {"id": task_id}).scalar() is None
