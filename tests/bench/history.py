"""Whether a task's cost grows with history, with finished journals beside the work and moved away.

Two stores take tasks by turns: in one all journals are in `steps`, as without the janitor's chore,
in the other those of finished tasks are in months. Between rounds both are filled further. Then
both let a month of journals go.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psutil
from sqlalchemy import Engine, text

from bench.figures import Figure, Remark, Said, percentile
from bench.finished_tasks import add_finished_tasks
from fleet_contracts.envelope import build_envelope
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_workers.janitor.retention import move_journals
from fleet_workers.retention_policy import RetentionSection
from fleet_workers.store import claims, endings, retention, views
from fleet_workers.store.claims import Holder
from fleet_workers.store.engine import open_engine
from fleet_workers.store.journal import StepKind, StoredJournal, read_steps
from fleet_workers.store.partitions import Month, make_month, months_of
from support.databases import temporary_database

_SIZES = tuple(int(each) for each in os.environ.get("HISTORY", "0,100000,1000000").split(","))
_TASKS = 300  # a size and store, by turns
_TURN = 10
_STEPS = 4
_BATCH = 50_000
_APART = timedelta(days=125) / max(*_SIZES, 1)  # four whole months, whatever the sizes
_MONTHS_NEEDED = 4
_STATISTICS_SECONDS = 1.5  # PostgreSQL publishes a session's counts within a second of its end
_LEASE = timedelta(minutes=5)
_HOLDER = Holder(worker="bench", presence=1, lease=_LEASE, silence=_LEASE)
_RESULT = {"text": "The parcel is in Lyon. " * 12, "calls": []}
# Steps of about 400 bytes each, for tasks that have none: in `steps`, or in their months.
_JOURNALS = """
INSERT INTO {table} (task_id, seq, epoch, kind, name, state, request, result, model, tokens,
    cost_usd, started_at, finished_at {columns})
SELECT t.id, s.seq, 1, CASE WHEN s.seq % 2 = 0 THEN 'plan' ELSE 'tool' END, 'bench', 'done',
    jsonb_build_object('tier', 'small', 'head', md5(t.id::text)),
    jsonb_build_object('text', repeat(md5(t.id::text || s.seq) || ' ', 9)), 'small', 400, 0.001,
    t.finished_at, t.finished_at {values}
FROM (SELECT * FROM tasks WHERE finished_at IS NOT NULL ORDER BY finished_at
      OFFSET :done LIMIT :batch) AS t
CROSS JOIN generate_series(0, 3) AS s(seq)
"""


@dataclass(kw_only=True)
class Side:
    """A store, and what was timed on it: seconds by what was done."""

    name: str
    engine: Engine
    store_pid: int = 0
    rows: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)

    def fill(self, rows: int) -> None:
        """Add finished tasks with their journals until there are so many."""
        if rows > self.rows:
            add_finished_tasks(self.engine, rows, have=self.rows, apart=_APART)
        moved = self.name == "months"
        statement = text(
            _JOURNALS.format(
                table="finished_steps" if moved else "steps",
                columns=", tenant, ended_at" if moved else "",
                values=", t.tenant, t.finished_at" if moved else "",
            )
        )
        if moved:
            self._make_months()
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            for done in range(self.rows, rows, _BATCH):
                batch = min(_BATCH, rows - done)
                connection.execute(statement, {"done": done, "batch": batch})
            connection.execute(text("VACUUM (ANALYZE) steps"))
            connection.execute(text("ANALYZE finished_steps"))
            connection.execute(text("CHECKPOINT"))
            connection.execute(text("RESET statement_timeout"))
        self.rows = rows

    def _make_months(self) -> None:
        query = text(
            "SELECT DISTINCT date_trunc('month', finished_at) FROM tasks "
            "WHERE finished_at IS NOT NULL"
        )
        with self.engine.begin() as connection:
            for begin in connection.execute(query).scalars().all():
                make_month(connection, "finished_steps", "ended_at", Month.of(begin))

    def take_tasks(self, number: int) -> None:
        """Take tasks from claim to end, with steps, and look at each as a producer does."""
        worker, store = time.thread_time(), self._store_seconds()
        for _ in range(number):
            begun = time.perf_counter()
            task_id = self._one_task()
            done = time.perf_counter()
            with self.engine.connect() as connection:
                views.view(connection, task_id, tenant="acme")
                looked = time.perf_counter()
                read_steps(connection, task_id)
            self._note("task", done - begun)
            self._note("view", looked - done)
            self._note("journal", time.perf_counter() - looked)
        self.processor["worker"] = self.processor.get("worker", 0) + time.thread_time() - worker
        spent = self._store_seconds() - store
        self.processor["store"] = self.processor.get("store", 0) + spent

    def pages(self) -> int:
        """Pages of `steps` and its index that were looked at so far: no load changes them."""
        self.engine.dispose()
        self.store_pid = 0
        time.sleep(_STATISTICS_SECONDS)
        query = text("""
            SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
            FROM pg_statio_user_tables WHERE relname = 'steps'
        """)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _one_task(self) -> object:
        envelope = build_envelope(tenant="acme", agent="bench", input="Where is my parcel?")
        held = claims.take_new(self.engine, envelope, _HOLDER, traceparent=None)
        assert held is not None
        journal = StoredJournal(self.engine, held)
        for number in range(_STEPS):
            kind = StepKind.TOOL if number % 2 else StepKind.PLAN
            seq = journal.begin(kind, "bench", {"tier": "small"})
            journal.finish(seq, _RESULT)
        outcome = Outcome(kind=OutcomeKind.ANSWERED, answer="In Lyon.", confidence=0.9)
        journal.leave(endings.succeeded(outcome, "bench@v1"))
        return envelope.id

    def _store_seconds(self) -> float:
        if not self.store_pid:
            query = text("SELECT pg_backend_pid()")
            with self.engine.connect() as connection:
                self.store_pid = connection.execute(query).scalar_one()
        return sum(psutil.Process(self.store_pid).cpu_times()[:2])

    def _note(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)

    def clear(self) -> None:
        """Forget what was timed."""
        self.seconds.clear()
        self.processor.clear()


def measure() -> Iterator[Said]:
    """Tasks by turns on both stores at each size, then what moving and letting go cost."""
    with ExitStack() as opened:
        sides = [opened.enter_context(_side(name)) for name in ("beside", "months")]
        yield Remark(text=f"history: {_SIZES} finished tasks with {_STEPS} steps, by turns")
        for size in _SIZES:
            for side in sides:
                side.fill(size)
                side.take_tasks(_TURN)
                side.clear()
            before = [side.pages() for side in sides]
            for _ in range(0, _TASKS, _TURN):
                for side in sides:
                    side.take_tasks(_TURN)
            for side, pages in zip(sides, before, strict=True):
                yield from _figures(side, size)
                each = (side.pages() - pages) / _TASKS
                yield Figure(
                    name=f"history.{side.name}_{size}.pages_of_steps", value=each, unit="pages/task"
                )
        beside, months = sides
        yield from _moving(months)
        yield from _letting_go(beside, months)


def _figures(side: Side, size: int) -> Iterator[Figure]:
    name = f"history.{side.name}_{size}"
    for what, values in side.seconds.items():
        milliseconds = percentile(values, 0.5) * 1000
        yield Figure(name=f"{name}.{what}_p50", value=milliseconds, unit="ms")
    for who, seconds in side.processor.items():
        yield Figure(name=f"{name}.processor_{who}", value=seconds / _TASKS * 1000, unit="ms/task")


def _moving(side: Side) -> Iterator[Figure]:
    """What the janitor's chore costs for each task, measured on those that were taken here."""
    with side.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE tasks SET finished_at = now() - interval '2 days' WHERE id IN "
                "(SELECT DISTINCT task_id FROM steps)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO chore_marks (name, at, id) VALUES ('finished_steps', "
                "now() - interval '3 days', '00000000-0000-0000-0000-000000000000') "
                "ON CONFLICT (name) DO UPDATE SET at = excluded.at, id = excluded.id"
            )
        )
        moved = connection.execute(text("SELECT count(DISTINCT task_id) FROM steps")).scalar_one()
    before, begun = side._store_seconds(), time.perf_counter()
    while move_journals(side.engine):
        pass
    took, spent = time.perf_counter() - begun, side._store_seconds() - before
    yield Figure(name="history.move", value=took / moved * 1000, unit="ms/task")
    yield Figure(name="history.move_processor_store", value=spent / moved * 1000, unit="ms/task")


def _letting_go(beside: Side, months: Side) -> Iterator[Figure]:
    """The oldest journals, let go from both stores: rows deleted one by one, and months dropped."""
    with months.engine.connect() as connection:
        known = sorted(months_of(connection, "finished_steps"))
        now = connection.execute(text("SELECT now()")).scalar_one()
    if len(known) < _MONTHS_NEEDED:
        return
    # The second month is whole, the first begins with the first task.
    policy = RetentionSection(journal=(now - known[2].begin).days, results="always")
    for side in (beside, months):
        before, begun = side._store_seconds(), time.perf_counter()
        if side is months:
            rows = sum(each.rows for each in retention.delete_old(side.engine, policy))
        else:
            rows = _delete_one_by_one(side.engine, known[2].begin)
            with side.engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            ) as connection:
                connection.execute(text("SET statement_timeout = 0"))
                connection.execute(text("VACUUM steps"))
                connection.execute(text("RESET statement_timeout"))
        took, spent = time.perf_counter() - begun, side._store_seconds() - before
        yield Figure(name=f"history.{side.name}.let_go", value=rows, unit="rows")
        yield Figure(name=f"history.{side.name}.let_go_seconds", value=took, unit="s")
        yield Figure(name=f"history.{side.name}.let_go_processor_store", value=spent, unit="s")


def _delete_one_by_one(engine: Engine, before: datetime) -> int:
    """Delete journals in batches as retention does with rows, then free their space."""
    delete = text("""
        WITH old AS (
            SELECT id, finished_at FROM tasks WHERE finished_at >= :since AND finished_at < :before
            ORDER BY finished_at LIMIT 500
        ), gone AS (DELETE FROM steps USING old WHERE task_id = old.id RETURNING 1)
        SELECT (SELECT count(*) FROM gone) AS rows, (SELECT max(finished_at) FROM old) AS last
    """)
    since, rows = datetime.fromtimestamp(0, UTC), 0
    while True:
        with engine.begin() as connection:
            row = connection.execute(delete, {"since": since, "before": before}).one()
        rows += row.rows
        if row.last is None or row.last == since:
            return rows
        since = row.last


@contextmanager
def _side(name: str) -> Iterator[Side]:
    with temporary_database() as url:
        engine = open_engine(url, connections=1, application=f"bench history {name}", ping=False)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO tenants (name) VALUES ('acme')"))
            database = engine.url.database
            # Commits wait for no disk here: what is compared is work, not the disk's moods.
            connection.execute(text(f'ALTER DATABASE "{database}" SET synchronous_commit = off'))
        engine.dispose()
        try:
            yield Side(name=name, engine=engine)
        finally:
            engine.dispose()
