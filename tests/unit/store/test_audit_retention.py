"""Old audit entries go by policy, and the chain that is left is still whole and guarded."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from fleet_workers.store import audit, audit_chain
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.audit_chain import Head
from fleet_workers.store.audit_retention import count_old, drop_old
from fleet_workers.store.audit_verify import Verdict, verify
from support.databases import temporary_store

KEPT = timedelta(days=100)
UNGUARD = "ALTER TABLE audit DISABLE TRIGGER append_only, DISABLE TRIGGER only_dropped"
GUARD = "ALTER TABLE audit ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER only_dropped"
ALLOW = "SELECT set_config('fleet.audit_retention', 'on', true)"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with temporary_store(connections=4) as engine:
        yield engine


def write(engine: Engine, number: int, *, days: float = 0) -> None:
    """Entries of so many days ago, sealed in one go."""
    with engine.begin() as connection:
        for place in range(number):
            entry = Entry(kind=AuditKind.EFFECT, who="ann", what="x", detail={"step": place})
            audit.add(connection, entry)
        connection.execute(text("ALTER TABLE audit_inbox DISABLE TRIGGER append_only"))
        connection.execute(
            text("UPDATE audit_inbox SET at = at - make_interval(secs => :s)"), {"s": days * 86400}
        )
        connection.execute(text("ALTER TABLE audit_inbox ENABLE ALWAYS TRIGGER append_only"))
    seal(engine)


def seal(engine: Engine) -> None:
    with engine.begin() as connection:
        audit_chain.seal(connection, limit=1000)


def drop(engine: Engine, kept: timedelta = KEPT) -> int:
    return sum(drop_old(engine, kept, told=lambda _, rows: rows))


def check(engine: Engine, noted: Head | None = None) -> Verdict:
    with engine.connect() as connection:
        return verify(connection, noted=noted)


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for each in statements:
            connection.execute(text(each))


def dropped(engine: Engine) -> int:
    """Seven entries, of which the first four go; gives how many went."""
    write(engine, 4, days=200)
    write(engine, 3)
    assert drop(engine) == 0  # a checkpoint is written first
    seal(engine)
    return drop(engine)


def test_old_entries_go_and_the_rest_is_whole(engine: Engine) -> None:
    with engine.connect() as connection:
        assert count_old(connection, KEPT) == (0, None)
    assert dropped(engine) == 4
    found = check(engine)
    assert found.faults == []
    assert found.entries == 4  # three, and the checkpoint
    assert found.dropped is not None
    assert found.dropped.position == 4
    write(engine, 2)
    assert drop(engine) == 0
    assert check(engine, found.head).faults == []


def test_it_goes_on_the_next_time(engine: Engine) -> None:
    assert dropped(engine) == 4
    noted = check(engine).head
    write(engine, 1)
    for _ in range(2):
        drop(engine, timedelta(seconds=0))  # all that is older than today
        seal(engine)
    assert check(engine, noted).faults == []


def test_what_no_checkpoint_tells_of_cannot_be_deleted(engine: Engine) -> None:
    write(engine, 4, days=200)
    write(engine, 3)
    for statement in (
        "DELETE FROM audit WHERE position <= 2",
        "DELETE FROM audit WHERE position = 7",
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            run(engine, statement)
        with pytest.raises(DBAPIError, match="no sealed checkpoint"):
            run(engine, ALLOW, statement)
    assert drop(engine) == 0
    seal(engine)
    with pytest.raises(DBAPIError, match="no sealed checkpoint"):  # one from the middle
        run(engine, ALLOW, "DELETE FROM audit WHERE position = 2")
    with pytest.raises(DBAPIError, match="no sealed checkpoint"):  # one too many
        run(engine, ALLOW, "DELETE FROM audit WHERE position <= 5")
    with pytest.raises(DBAPIError, match="append-only"):
        run(engine, ALLOW, "UPDATE audit SET who = 'bob'")
    assert check(engine).entries == 8


def test_a_killed_round_leaves_a_whole_chain(engine: Engine) -> None:
    write(engine, 4, days=200)
    write(engine, 3)
    drop(engine)
    seal(engine)
    run(engine, ALLOW, "DELETE FROM audit WHERE position <= 2")
    assert check(engine).faults == []
    assert drop(engine) == 2
    assert check(engine).faults == []


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("DELETE FROM audit WHERE position <= 6", "Positions 1 to 6 are missing"),
        ("DELETE FROM audit WHERE position = 6", "Position 6 is missing"),
        ("UPDATE audit SET who = 'bob' WHERE position = 5", "Position 5 "),
        (
            "UPDATE audit SET detail = jsonb_set(detail, '{hash}', '\"00\"') WHERE position = 8",
            "Position ",
        ),
        ("DELETE FROM audit WHERE position = 8", "Positions 1 to 4 are missing"),
    ],
)
def test_whoever_tampers_is_found_after_entries_went(
    engine: Engine, attack: str, said: str
) -> None:
    assert dropped(engine) == 4
    run(engine, UNGUARD, attack, GUARD)
    assert said in check(engine).faults[0]


def test_a_head_from_before_what_went_is_told_to_be_too_old(engine: Engine) -> None:
    write(engine, 2, days=200)
    early = check(engine).head
    write(engine, 2, days=200)
    at_the_end = check(engine).head
    write(engine, 3)
    drop(engine)
    seal(engine)
    assert drop(engine) == 4
    assert "give a later head" in check(engine, early).faults[0]
    assert check(engine, at_the_end).faults == []
    forged = Head(position=4, hash="0" * 64)
    assert "made anew" in check(engine, forged).faults[0]


def test_a_missing_guard_is_told(engine: Engine) -> None:
    run(engine, "DROP TRIGGER only_dropped ON audit")
    assert "migration 0012" in check(engine).faults[0]
