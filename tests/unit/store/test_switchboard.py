"""Disabled tools: who is covered, and how soon a process knows, also when the store was away."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from fleet_workers.store import switches
from fleet_workers.store.engine import open_engine
from fleet_workers.store.switchboard import Switchboard
from fleet_workers.store.tables import tool_switches

_NAME = "switches under test"


@contextmanager
def following(engine: Engine) -> Iterator[Switchboard]:
    """A switchboard with a connection of its own, as a process has one."""
    url = engine.url.render_as_string(hide_password=False)
    own = open_engine(url, connections=1, application=_NAME, ping=False)
    board = Switchboard(own)
    board.start()
    try:
        yield board
    finally:
        board.stop()
        own.dispose()


@pytest.fixture(autouse=True)
def _nothing_disabled(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(tool_switches.delete())


def disable(engine: Engine, tool: str, *, tenant: str = "*", agent: str = "*") -> None:
    with engine.begin() as connection:
        switches.disable(
            connection, tool=tool, tenant=tenant, agent=agent, reason="wrong", disabled_by="ann"
        )


def enable(engine: Engine, tool: str, *, tenant: str = "*", agent: str = "*") -> bool:
    with engine.begin() as connection:
        return switches.enable(connection, tool=tool, tenant=tenant, agent=agent, enabled_by="p")


def cut(connection: Connection) -> None:
    """End the switchboards' connections on the server's side."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name"
    connection.execute(text(query), {"name": _NAME})


def is_disabled(board: Switchboard, tool: str = "refund") -> bool:
    return board.disabled(tool, tenant="acme", agent="billing") is not None


def within(seconds: float, holds: Callable[[], bool]) -> float:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds
        time.sleep(0.005)
    return time.monotonic() - begun


def test_a_switch_covers_everything_or_one_tenant_or_one_agent(engine: Engine) -> None:
    disable(engine, "all")
    disable(engine, "ours", tenant="acme")
    disable(engine, "theirs", agent="billing")
    disable(engine, "both", tenant="acme", agent="billing")
    with following(engine) as board:
        assert not board.disabled("other", tenant="acme", agent="billing")
        found = board.disabled("all", tenant="globex", agent="onboarding")
        assert found is not None
        assert (found.reason, found.disabled_by) == ("wrong", "ann")
        assert board.disabled("ours", tenant="acme", agent="onboarding")
        assert not board.disabled("ours", tenant="globex", agent="onboarding")
        assert board.disabled("theirs", tenant="globex", agent="billing")
        assert not board.disabled("theirs", tenant="globex", agent="onboarding")
        assert board.disabled("both", tenant="acme", agent="billing")
        assert not board.disabled("both", tenant="globex", agent="billing")
        assert not board.disabled("both", tenant="acme", agent="onboarding")


def test_disabling_again_keeps_the_first_reason_and_each_switch_is_taken_back_alone(
    engine: Engine,
) -> None:
    disable(engine, "refund")
    disable(engine, "refund", tenant="acme")
    with engine.begin() as connection:
        again = switches.disable(
            connection, tool="refund", tenant="*", agent="*", reason="other", disabled_by="bob"
        )
        assert (again.reason, again.disabled_by) == ("wrong", "ann")
    with following(engine) as board:
        assert enable(engine, "refund")
        assert not enable(engine, "refund")
        within(1, lambda: not board.disabled("refund", tenant="globex", agent="billing"))
        assert is_disabled(board)


def test_every_process_knows_at_once(engine: Engine) -> None:
    with following(engine) as one, following(engine) as other:
        for _ in range(5):
            disable(engine, "refund")
            assert within(1, lambda: is_disabled(one) and is_disabled(other)) < 0.5
            enable(engine, "refund")
            assert within(1, lambda: not is_disabled(one) and not is_disabled(other)) < 0.5


def test_a_process_that_is_told_nothing_looks_within_a_second(engine: Engine) -> None:
    with following(engine) as board:
        with engine.begin() as connection:  # as behind a pooler that keeps notifications
            connection.execute(
                tool_switches.insert().values(
                    tool="refund", tenant="*", agent="*", reason="wrong", disabled_by="ann"
                )
            )
        assert within(1.5, lambda: is_disabled(board)) < 1.2


def test_what_was_switched_while_the_connection_was_cut_is_known_within_a_second(
    engine: Engine,
) -> None:
    with following(engine) as board:
        disable(engine, "known")
        within(1, lambda: is_disabled(board, "known"))
        with engine.begin() as connection:
            cut(connection)
        disable(engine, "refund")
        assert is_disabled(board, "known")
        within(1, lambda: is_disabled(board))


def test_a_store_that_was_away_changes_nothing_until_it_is_back(engine: Engine) -> None:
    server = create_engine(engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    database = engine.url.database
    with following(engine) as board, server.connect() as elsewhere, engine.connect() as inside:
        disable(engine, "known")
        within(1, lambda: is_disabled(board, "known"))
        inside.execute(text("SELECT 1"))
        elsewhere.execute(text(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false'))
        cut(elsewhere)
        switches.disable(
            inside, tool="refund", tenant="*", agent="*", reason="wrong", disabled_by="ann"
        )
        inside.commit()
        time.sleep(1.5)
        assert is_disabled(board, "known")
        assert not is_disabled(board)
        elsewhere.execute(text(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true'))
        within(1, lambda: is_disabled(board))
    server.dispose()


def test_stopping_takes_half_a_second_at_most(engine: Engine) -> None:
    with following(engine):
        begun = time.monotonic()
    assert time.monotonic() - begun < 0.6
