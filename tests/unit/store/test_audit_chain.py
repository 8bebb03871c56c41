"""The audit trail cannot be changed unnoticed, whoever owns the tables."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError

from fleet_workers.store import audit, audit_chain
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.audit_chain import GENESIS, Head, parse_head
from fleet_workers.store.audit_tables import audit as sealed
from fleet_workers.store.audit_verify import Verdict, verify
from support.databases import temporary_store

UNGUARD = "ALTER TABLE audit DISABLE TRIGGER append_only, DISABLE TRIGGER only_dropped"
GUARD = """
ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER only_dropped
"""

COPY_OF_3 = """
INSERT INTO audit SELECT {}, hash, 100, at, kind, who, what, why, tenant, task_id, trace, detail
FROM audit WHERE position = 3
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with temporary_store(connections=8) as engine:
        yield engine


def write(engine: Engine, number: int, *, what: str = "refund begun") -> None:
    with engine.begin() as connection:
        for place in range(number):
            detail = {"step": place}
            entry = Entry(kind=AuditKind.EFFECT, who="ann", what=what, tenant="acme", detail=detail)
            audit.add(connection, entry)


def seal(engine: Engine, limit: int = 1000) -> int:
    with engine.begin() as connection:
        return audit_chain.seal(connection, limit=limit)


def check(engine: Engine, noted: Head | None = None, **options: timedelta) -> Verdict:
    with engine.connect() as connection:
        return verify(connection, noted=noted, **options)


def tamper(engine: Engine, *statements: str) -> None:
    """What an owner of the tables can do who knows of the triggers."""
    with engine.begin() as connection:
        for each in (UNGUARD, *statements, GUARD):
            connection.execute(text(each))


def rebuild(connection: Connection, first: int) -> None:
    """Make the chain anew from a position on."""
    connection.execute(text(UNGUARD))
    columns = audit_chain.content_columns(sealed)
    previous = connection.execute(
        select(sealed.c.hash).where(sealed.c.position == first - 1)
    ).scalar_one()
    rows = connection.execute(
        select(sealed.c.position, *columns)
        .where(sealed.c.position >= first)
        .order_by(sealed.c.position)
    ).all()
    last = bytes(previous).hex()
    for row in rows:
        last = audit_chain.link(last, audit_chain.entry_text(row))
        connection.execute(
            sealed.update()
            .where(sealed.c.position == row.position)
            .values(hash=bytes.fromhex(last))
        )
    connection.execute(text(GUARD))


def test_an_honest_chain_is_whole_in_whatever_batches_it_was_sealed(engine: Engine) -> None:
    assert check(engine).head == Head(position=0, hash=GENESIS)
    write(engine, 7)
    assert [seal(engine, limit=3) for _ in range(4)] == [3, 3, 1, 0]
    noted = check(engine).head
    write(engine, 2)
    seal(engine)
    found = check(engine, noted)
    assert (found.is_whole, found.entries, found.unsealed) == (True, 9, 0)
    assert found.head.position == 9
    assert parse_head(str(found.head)) == found.head


@pytest.mark.parametrize("table", ["audit", "audit_inbox"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET why = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
def test_entries_can_be_neither_changed_nor_removed(
    engine: Engine, table: str, statement: str
) -> None:
    write(engine, 2)
    seal(engine, limit=1)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement.format(table)))
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        with pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text(statement.format(table)))
    assert check(engine).is_whole


ATTACKS = {
    "altered": (["UPDATE audit SET who = 'bob' WHERE position = 4"], "Position 4 "),
    "a detail altered": (
        ["UPDATE audit SET detail = '{\"step\": 9}' WHERE position = 4"],
        "Position 4 ",
    ),
    "dated back": (
        ["UPDATE audit SET at = at - interval '1 microsecond' WHERE position = 4"],
        "Position 4 ",
    ),
    "a time that is none": (
        ["UPDATE audit SET at = 'infinity' WHERE position = 4"],
        "Position 4 ",
    ),
    "a hash altered": (
        ["UPDATE audit SET hash = sha256('x') WHERE position = 4"],
        "Position 4 ",
    ),
    "removed": (["DELETE FROM audit WHERE position = 4"], "Position 4 is missing"),
    "several removed": (
        ["DELETE FROM audit WHERE position BETWEEN 1 AND 3"],
        "Positions 1 to 3 are missing",
    ),
    "removed and closed up": (
        [
            "DELETE FROM audit WHERE position = 4",
            "UPDATE audit SET position = position - 1 WHERE position = 5",
            "UPDATE audit SET position = position - 1 WHERE position = 6",
        ],
        "Position 4 ",
    ),
    "re-ordered": (
        [
            "UPDATE audit SET position = 100 WHERE position = 4",
            "UPDATE audit SET position = 4 WHERE position = 5",
            "UPDATE audit SET position = 5 WHERE position = 100",
        ],
        "Position 4 ",
    ),
    "inserted": (
        [
            "UPDATE audit SET position = 7 WHERE position = 6",
            "UPDATE audit SET position = 6 WHERE position = 5",
            "UPDATE audit SET position = 5 WHERE position = 4",
            COPY_OF_3.format(4),
        ],
        "Position 4 ",
    ),
    "inserted without a number of its own": (
        [
            "ALTER TABLE audit DROP CONSTRAINT audit_pkey",
            COPY_OF_3.format(3),
        ],
        "Position 3 ",
    ),
}


@pytest.mark.parametrize(("statements", "fault"), ATTACKS.values(), ids=ATTACKS)
def test_what_an_owner_changes_is_found_and_named(
    engine: Engine, statements: list[str], fault: str
) -> None:
    write(engine, 6)
    seal(engine)
    tamper(engine, *statements)
    found = check(engine)
    assert not found.is_whole
    assert found.faults[0].startswith(fault)


def test_a_tail_that_was_cut_off_is_found_with_a_noted_head(engine: Engine) -> None:
    write(engine, 6)
    seal(engine)
    noted = check(engine).head
    tamper(engine, "DELETE FROM audit WHERE position > 4")
    assert check(engine).is_whole
    assert "its tail was cut off" in check(engine, noted).faults[0]
    write(engine, 4)
    seal(engine)
    assert check(engine).is_whole
    assert "was made anew" in check(engine, noted).faults[0]


def test_a_chain_made_anew_is_found_with_a_noted_head(engine: Engine) -> None:
    write(engine, 6)
    seal(engine)
    noted = check(engine).head
    tamper(engine, "UPDATE audit SET who = 'bob' WHERE position = 2")
    with engine.begin() as connection:
        rebuild(connection, 2)
    assert check(engine).is_whole
    assert "was made anew" in check(engine, noted).faults[0]


def test_a_guard_that_was_taken_away_is_named(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_inbox DISABLE TRIGGER only_sealed"))
        connection.execute(text("DROP TRIGGER append_only ON audit"))
    faults = check(engine).faults
    assert ["audit.append_only" in faults[0], "audit_inbox.only_sealed" in faults[1]] == [
        True,
        True,
    ]


def test_an_entry_that_is_altered_before_it_is_removed_stays_in_the_inbox(engine: Engine) -> None:
    """Only what stands in the chain with the same content may leave."""
    write(engine, 1)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO audit SELECT 1, sha256('x'), id, at, kind, 'bob', what, why, tenant, "
                "task_id, trace, detail FROM audit_inbox"
            )
        )
    with pytest.raises(DBAPIError, match="not sealed"), engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_inbox"))


def test_what_nobody_seals_is_reported(engine: Engine) -> None:
    write(engine, 3)
    assert check(engine).is_whole
    found = check(engine, sealed_within=timedelta(0))
    assert "3 entries wait to be sealed" in found.faults[0]


def test_a_transaction_that_commits_late_leaves_no_gap(engine: Engine) -> None:
    late = engine.connect()
    transaction = late.begin()
    audit.add(late, Entry(kind=AuditKind.PAUSE, who="late", what="paused"))
    write(engine, 3)
    seal(engine)
    transaction.commit()
    late.close()
    seal(engine)
    with engine.connect() as connection:
        order = list(connection.execute(select(sealed.c.who).order_by(sealed.c.position)).scalars())
    assert order == ["ann", "ann", "ann", "late"]
    assert check(engine).is_whole


def test_many_writers_and_many_janitors_at_once(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write, engine, 20) for _ in range(20)]
        sealing = [pool.submit(seal, engine, 17) for _ in range(60)]
        for each in (*written, *sealing):
            each.result()
    while seal(engine):
        pass
    found = check(engine)
    assert (found.is_whole, found.entries, found.unsealed) == (True, 400, 0)
