"""An erasure goes on after a kill, holds to what was asked for, and leaves others alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from fleet_contracts.errors import InvalidInput, Unavailable
from fleet_workers.janitor.erase import Eraser, erase_some
from fleet_workers.janitor.retention import move_journals, retention_at_work
from fleet_workers.retention_policy import RetentionSection
from fleet_workers.store import erasure, erasure_requests
from fleet_workers.store.erasure import Turn
from fleet_workers.store.erasure_requests import Erasure, OpenTasks
from fleet_workers.store.journal import read_steps
from fleet_workers.store.views import view
from support.databases import empty_tables, temporary_store
from support.ended_tasks import Ended, write_ended
from support.leftovers import rows_with

NOW = timedelta(0)
_NAME_IN_TASKS = text("""
UPDATE tasks SET customer = :name, session_id = 's ' || :name,
    outcome = outcome || jsonb_build_object('answer', :name),
    envelope = envelope || jsonb_build_object('customer', CAST(:name AS text)),
    last_error = jsonb_build_object('code', 'c', 'message', CAST(:name AS text))
WHERE id = ANY(:ids)
""")
_NAME_IN_STEPS = text("""
UPDATE steps SET result = result || jsonb_build_object('name', CAST(:name AS text))
WHERE task_id = ANY(:ids)
""")


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


def forget(_: str, sessions: Iterable[str]) -> int:
    return len(list(sessions))


def work_for(engine: Engine, customer: str, *, number: int = 1, **more: Any) -> list[UUID]:
    """Tasks of a customer whose name stands in request, answer and journal."""
    ended = [Ended(words=f"I am {customer}.", **more) for _ in range(number)]
    write_ended(engine, ended)
    ids = [each.id for each in ended]
    with engine.begin() as connection:
        for statement in (_NAME_IN_TASKS, _NAME_IN_STEPS):
            connection.execute(statement, {"name": customer, "ids": ids})
    return ids


def ask(engine: Engine, customer: str, *, cancel_open: bool = False) -> Erasure:
    with engine.begin() as connection:
        return erasure_requests.request(
            connection, tenant="acme", customer=customer, cancel_open=cancel_open, by="ann"
        )


def found(engine: Engine, asked: Erasure) -> Erasure:
    with engine.connect() as connection:
        known = erasure_requests.find(connection, asked.id, tenant="acme")
    assert known is not None
    return known


def finish(engine: Engine, asked: Erasure, cut_off: timedelta = NOW) -> Turn:
    """Work at it until it is done or has to wait."""
    last = None
    while (turn := erase_some(engine, forget, only=asked.id, cut_off=cut_off)) is not None:
        last = turn
        if turn.waits:
            break
    assert last is not None
    return last


def test_words_go_wherever_the_journal_is_and_figures_stay(engine: Engine) -> None:
    (old,) = work_for(engine, "zoe", ago=timedelta(days=40))
    (young,) = work_for(engine, "zoe")
    (other,) = work_for(engine, "yan", ago=timedelta(days=40))
    while move_journals(engine):
        pass
    done = finish(engine, ask(engine, "zoe")).erasure
    assert done.finished_at is not None
    assert dict(done.erased) == {"tasks": 2, "steps": 1, "finished_steps": 1}
    assert rows_with(engine, "zoe") == {}
    with engine.connect() as connection:
        assert read_steps(connection, old) == read_steps(connection, young) == []
        assert len(read_steps(connection, other)) == 1
        task = view(connection, young, tenant="acme")
    assert task is not None
    assert (task.state, task.customer) == ("succeeded", None)
    assert task.outcome is not None
    assert (task.outcome.answer, task.outcome.confidence) == (None, 0.95)
    assert task.last_error == {"code": "c"}


def test_the_same_name_with_another_tenant_is_another_customer(engine: Engine) -> None:
    work_for(engine, "zoe", tenant="globex")
    work_for(engine, "zoe")
    finish(engine, ask(engine, "zoe"))
    assert rows_with(engine, "zoe") == {"steps": 1, "tasks": 1}


def test_what_it_spent_stays_counted_for_the_tenant(engine: Engine) -> None:
    (task_id,) = work_for(engine, "zoe")
    total = "customer 4 acme zoe"
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO spend_entries (key, kind, task_id, tenant, agent, customer, purpose, "
                "amount_usd, counted, state, day) VALUES ('k', 'moved', :id, 'acme', 'billing', "
                "'zoe', 'p', 7, CAST(:counted AS jsonb), 'spent', now())"
            ),
            {"id": task_id, "counted": f'[["tenant acme", true], ["{total}", true]]'},
        )
        connection.execute(
            text(
                "INSERT INTO spend_totals VALUES ('moved', :total, now(), 7), "
                "('moved', 'tenant acme', now(), 7)"
            ),
            {"total": total},
        )
    finish(engine, ask(engine, "zoe"))
    assert rows_with(engine, "zoe") == {}
    with engine.connect() as connection:
        entry = connection.execute(text("SELECT amount_usd, counted FROM spend_entries")).one()
        assert (entry.amount_usd, entry.counted) == (7, [["tenant acme", True]])
        assert connection.execute(text("SELECT count(*) FROM spend_totals")).scalar() == 1


def test_open_tasks_are_a_conflict_or_are_cancelled_and_waited_for(engine: Engine) -> None:
    (task_id,) = work_for(engine, "zoe", state="in_review")
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET finished_at = NULL"))
    with pytest.raises(OpenTasks, match="1 tasks of this customer are open"):
        ask(engine, "zoe")
    asked = ask(engine, "zoe", cancel_open=True)
    assert ask(engine, "zoe").id == asked.id
    turn = finish(engine, asked, erasure.CUT_OFF)
    assert turn.waits
    assert turn.erasure.finished_at is None
    assert turn.erasure.due_at > asked.due_at
    assert rows_with(engine, "zoe")["tasks"] == 1
    # Ten minutes later
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET finished_at = now() - interval '11 minutes'"))
    done = finish(engine, asked, erasure.CUT_OFF).erasure
    assert done.erased["cancelled"] == 1
    assert rows_with(engine, "zoe") == {}
    with engine.connect() as connection:
        task = view(connection, task_id, tenant="acme")
    assert task is not None
    assert task.state == "cancelled"


def test_a_killed_process_is_followed_by_the_next(engine: Engine) -> None:
    work_for(engine, "zoe", number=120)
    asked = ask(engine, "zoe")
    url = engine.url.render_as_string(hide_password=False)
    program = (
        "import os, signal, sys\n"
        "from uuid import UUID\n"
        "from fleet_workers.janitor.erase import erase_some\n"
        "from fleet_workers.store.engine import open_engine\n"
        "engine = open_engine(sys.argv[1], connections=1, application='killed')\n"
        "def forget(tenant, sessions):\n"
        "    global turns\n"
        "    turns += 1\n"
        "    if turns == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "turns = 0\n"
        "while erase_some(engine, forget, only=UUID(sys.argv[2])): pass\n"
    )
    killed = subprocess.run(
        (sys.executable, "-c", program, url, str(asked.id)),
        check=False,
        env=dict(os.environ),
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert rows_with(engine, "zoe")["tasks"] == 70
    done = finish(engine, asked).erasure
    assert done.erased["tasks"] == 120
    assert rows_with(engine, "zoe") == {}


def test_two_at_once_do_the_work_once(engine: Engine) -> None:
    work_for(engine, "zoe", number=200)
    asked = ask(engine, "zoe")

    def work() -> None:
        while found(engine, asked).finished_at is None:
            erase_some(engine, forget, only=asked.id, cut_off=NOW)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    done = found(engine, asked)
    assert (done.erased["tasks"], done.customer) == (200, None)
    assert rows_with(engine, "zoe") == {}


def test_while_the_session_memory_is_away_no_session_loses_its_name(engine: Engine) -> None:
    work_for(engine, "zoe")
    asked = ask(engine, "zoe")

    def away(tenant: str, sessions: Iterable[str]) -> int:
        raise Unavailable(f"no {tenant} {list(sessions)}")

    erase_some(engine, away, only=asked.id)
    with pytest.raises(Unavailable):
        erase_some(engine, away, only=asked.id, cut_off=NOW)
    assert rows_with(engine, "zoe")["tasks"] == 1
    finish(engine, asked)
    assert rows_with(engine, "zoe") == {}


def test_a_request_that_fails_lets_others_go_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(engine, "zoe")

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("zoe has no such row")

    monkeypatch.setattr(erasure, "work", broken)
    with pytest.raises(ValueError, match="no such row"):
        Eraser(engine, forget).work()
    monkeypatch.undo()
    put_off = found(engine, asked)
    assert put_off.last_error == "ValueError"
    assert put_off.due_at > asked.due_at
    assert Eraser(engine, forget).work() == 0


def test_a_janitor_does_all_of_it_in_a_thread_of_its_own(engine: Engine) -> None:
    (old,) = work_for(engine, "yan", ago=timedelta(days=400))
    (finished,) = work_for(engine, "yan", ago=timedelta(days=2))
    work_for(engine, "zoe")
    asked = ask(engine, "zoe")
    with retention_at_work(engine, RetentionSection(), forget=forget):
        ends_at = time.monotonic() + 30
        while found(engine, asked).finished_at is None or "tasks" in rows_with(engine, str(old)):
            assert time.monotonic() < ends_at
            time.sleep(0.05)
    assert "finished_steps" in rows_with(engine, str(finished))


def test_a_customer_without_a_name_is_refused(engine: Engine) -> None:
    for name in ("", "  ", "x" * 501):
        with pytest.raises(InvalidInput, match="Name a customer"):
            ask(engine, name)


def test_an_odd_name_is_taken_as_it_is(engine: Engine) -> None:
    name = "O'Zoe \"%_\\ ünï"
    work_for(engine, name)
    work_for(engine, "O'Zoe \"%_x ünï")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dead_letters (id, tenant, reason, error, body) VALUES "
                "(gen_random_uuid(), 'acme', 'r', 'e', CAST(CAST(:body AS jsonb) AS text))"
            ),
            {"body": '{"tenant": "acme", "customer": "O\'Zoe \\"%_\\\\ ünï"}'},
        )
    done = finish(engine, ask(engine, name)).erasure
    assert (done.erased["tasks"], done.erased["dead_letters"]) == (1, 1)
