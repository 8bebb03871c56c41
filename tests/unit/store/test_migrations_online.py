"""Migrations are made while a fleet works: they only add, and hold no table for long."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, text

from fleet_contracts.errors import ConfigurationError
from fleet_workers.store import migrate
from fleet_workers.store.version import TABLES_VERSION, check_version
from support.databases import temporary_database

_LAST_WITH_DOWNTIME = "0008"
_NEXT = f"{int(TABLES_VERSION) + 1:04}"
_TABLE = r'(?:IF (?:NOT )?EXISTS )?(?:ONLY )?"?(\w+)"?'
_CREATES = re.compile(rf"\s*CREATE (?:UNLOGGED )?TABLE {_TABLE}", re.IGNORECASE)
_CHANGES = {
    "takes away what older code may use": r"\b(?:DROP|RENAME)\b(?! (?:DEFAULT|NOT NULL|INDEX))",
    "rewrites a table, or forbids what older code writes": (
        r"ALTER COLUMN \S+ (?:SET DATA )?TYPE|SET NOT NULL|SET EXPRESSION"
    ),
    "adds a column that older code does not fill": (
        r"ADD (?:COLUMN )?(?!CONSTRAINT)(?=[^,]*NOT NULL)(?![^,]*DEFAULT)"
    ),
    "checks every row under a lock": r"ADD (?:CONSTRAINT|CHECK|FOREIGN|UNIQUE)(?!.*NOT VALID)",
}
_INDEX = re.compile(
    rf"\s*CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?.*? ON {_TABLE}", re.IGNORECASE | re.DOTALL
)
_DROPS_INDEX = re.compile(r"\s*DROP INDEX (?!CONCURRENTLY)", re.IGNORECASE)
_ALTERS = re.compile(rf"\s*(?:ALTER|DROP) TABLE {_TABLE}", re.IGNORECASE)


def faults_of(statements: list[str]) -> list[str]:
    """What in these statements a fleet at work would notice."""
    new = {found[1] for each in statements if (found := _CREATES.match(each))}
    faults = []
    for each in statements:
        line = " ".join(each.split())
        if (altered := _ALTERS.match(each)) and altered[1] not in new:
            faults += [
                f"{why}: {line}"
                for why, what in _CHANGES.items()
                if re.search(what, line, re.IGNORECASE)
            ]
        if (index := _INDEX.match(each)) and not index[1] and index[2] not in new:
            faults.append(f"stops writes while it builds an index: {line}")
        if _DROPS_INDEX.match(each):
            faults.append(f"stops the table's users while an index goes: {line}")
    return faults


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("ALTER TABLE tasks DROP COLUMN woken_at", "takes away"),
        ("DROP TABLE tasks", "takes away"),
        ("ALTER TABLE tasks RENAME COLUMN agent TO pool", "takes away"),
        ("ALTER TABLE tasks ALTER COLUMN epoch TYPE bigint", "rewrites"),
        ("ALTER TABLE tasks ADD COLUMN colour text NOT NULL", "does not fill"),
        ("ALTER TABLE tasks ADD CONSTRAINT c CHECK (epoch >= 0)", "checks every row"),
        ("CREATE INDEX i ON tasks (colour)", "stops writes"),
        ("DROP INDEX tasks_due", "stops the table's users"),
    ],
)
def test_what_a_fleet_at_work_would_notice_is_told(statement: str, why: str) -> None:
    assert why in faults_of([statement])[0]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE tasks ADD COLUMN colour text",
        "ALTER TABLE tasks ADD COLUMN colour text DEFAULT 'none' NOT NULL",
        "ALTER TABLE tasks ALTER COLUMN epoch DROP NOT NULL",
        "CREATE INDEX CONCURRENTLY i ON tasks (colour)",
        "DROP INDEX CONCURRENTLY IF EXISTS tasks_due",
        "ALTER TABLE tasks ADD CONSTRAINT c CHECK (epoch >= 0) NOT VALID",
    ],
)
def test_what_it_would_not_notice_is_let_pass(statement: str) -> None:
    assert faults_of([statement]) == []


def test_no_migration_disturbs_a_fleet_at_work() -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    with temporary_database(migrated=False) as url:
        migrate.upgrade(url, to=_LAST_WITH_DOWNTIME)
        event.listen(Engine, "before_cursor_execute", note)
        try:
            migrate.upgrade(url)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert any("compatibility" in each for each in statements)
    assert faults_of(statements) == []


def test_each_migration_says_which_code_can_work_on_it() -> None:
    scripts = ScriptDirectory(str(migrate.FOLDER)).walk_revisions()
    newest_first = [each for each in scripts if each.revision > _LAST_WITH_DOWNTIME]
    claims = [(each.revision, each.module.works_with) for each in reversed(newest_first)]
    oldest = [works_with for _, works_with in claims]
    assert oldest == sorted(oldest)
    assert all(works_with <= revision for revision, works_with in claims)


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def _folder_with(tmp_path: Path, body: str, *, works_with: str = TABLES_VERSION) -> Path:
    """The migrations and one more."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / f"{_NEXT}_next.py").write_text(
        "from alembic import op\nfrom fleet_workers.store import online\n"
        f'revision = "{_NEXT}"\ndown_revision = "{TABLES_VERSION}"\nworks_with = "{works_with}"\n'
        f"def upgrade() -> None:\n    {body}\n"
    )
    return folder


def test_code_of_before_starts_on_newer_tables_only_where_they_say_so(tmp_path: Path) -> None:
    for works_with, starts in ((TABLES_VERSION, True), (_NEXT, False)):
        folder = _folder_with(tmp_path / works_with, "pass", works_with=works_with)
        with temporary_database() as url, _opened(url) as engine, engine.connect() as connection:
            assert migrate.upgrade(url, folder=folder) == _NEXT
            if starts:
                check_version(connection)
            else:
                with pytest.raises(ConfigurationError, match="start the newer release"):
                    check_version(connection)


def test_a_migration_lets_the_fleet_through_while_its_table_is_busy(tmp_path: Path) -> None:
    folder = _folder_with(tmp_path, "op.execute('ALTER TABLE tasks ADD COLUMN colour text')")
    with temporary_database() as url, _opened(url) as engine:
        with engine.connect() as busy:
            busy.execute(text("SELECT count(*) FROM tasks"))  # and its transaction stays open
            upgrading = _in_background(lambda: migrate.upgrade(url, folder=folder))
            waits = [_seconds_of(engine, "SELECT count(*) FROM tasks") for _ in range(40)]
            assert max(waits) < 8  # two seconds of waiting, on a machine that is busy itself
            assert sum(waits) < 20
            assert upgrading.is_alive()
            busy.rollback()
        upgrading.join(30)
        with engine.connect() as connection:
            connection.execute(text("SELECT colour FROM tasks"))


def test_two_upgrades_at_once_build_an_index_beside_a_writer(tmp_path: Path) -> None:
    body = "online.create_index('tasks_by_customer', 'tasks', 'tenant, customer')"
    folder = _folder_with(tmp_path, body)
    with temporary_database() as url, _opened(url) as engine:
        both = [_in_background(lambda: migrate.upgrade(url, folder=folder)) for _ in range(2)]
        for each in both:
            each.join(30)
            assert not each.is_alive()
        assert _valid_index(engine, "tasks_by_customer")


def test_an_index_that_was_left_half_built_is_built_anew(tmp_path: Path) -> None:
    body = "online.create_index('tasks_by_customer', 'tasks', 'tenant, customer')"
    folder = _folder_with(tmp_path, body)
    with temporary_database() as url, _opened(url) as engine:
        with engine.begin() as connection:
            connection.execute(text("CREATE INDEX tasks_by_customer ON tasks (tenant, customer)"))
            connection.execute(
                text(
                    "UPDATE pg_index SET indisvalid = false "
                    "WHERE indexrelid = 'tasks_by_customer'::regclass"
                )
            )
        assert not _valid_index(engine, "tasks_by_customer")
        migrate.upgrade(url, folder=folder)
        assert _valid_index(engine, "tasks_by_customer")


def _valid_index(engine: Engine, name: str) -> bool:
    with engine.connect() as connection:
        query = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        return bool(connection.execute(query, {"name": name}).scalar())


def _in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _seconds_of(engine: Engine, statement: str) -> float:
    begun = time.monotonic()
    with engine.connect() as connection:
        connection.execute(text(statement))
    time.sleep(0.1)
    return time.monotonic() - begun
