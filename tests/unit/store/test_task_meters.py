"""What the store counts of tasks: each end once, whoever ends them, and whose times are told."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from fleet_contracts.envelope import build_envelope
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.store import claims, endings, parked, recovery, reviews, tasks
from fleet_workers.store.claims import Claim
from fleet_workers.telemetry.meters import REGISTRY
from support.web_server import HOLDER, claimed_task

AGENT = "counted"
ANSWER = Outcome(kind=OutcomeKind.ANSWERED, answer="done", confidence=0.9)


def _value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"fleet_{name}", {"agent": AGENT, **labels}) or 0.0


def _claimed(engine: Engine, **fields: object) -> Claim:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tenants (name) VALUES ('acme') ON CONFLICT DO NOTHING")
        )
        return claimed_task(connection, agent=AGENT, tenant="acme", **fields)


def _made_older(engine: Engine, held: Claim, seconds: float) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE tasks SET submitted_at = submitted_at - :by WHERE id = :id"),
            {"by": timedelta(seconds=seconds), "id": held.task_id},
        )


def test_a_task_that_an_agent_ends_alone_tells_how_long_it_waited_and_took(engine: Engine) -> None:
    waited, took = _value("task_wait_seconds_sum"), _value("task_seconds_sum")
    held = _claimed(engine)
    _made_older(engine, held, 100)
    endings.leave(engine, held, endings.succeeded(ANSWER, "counted@v1"))
    assert 100 <= _value("task_wait_seconds_sum") - waited < 130
    assert 100 <= _value("task_seconds_sum") - took < 130
    assert _value("tasks_ended_total", state="succeeded") == 1
    assert _value("task_runs_total", state="succeeded") == 1


def test_a_second_run_waits_no_second_time(engine: Engine) -> None:
    held = _claimed(engine)
    waits, taken_in = _value("task_wait_seconds_count"), _value("tasks_taken_in_total")
    endings.leave(engine, held, endings.handed_back())
    with engine.begin() as connection:
        again = claims.claim(connection, held.task_id, HOLDER)
    assert again is not None
    endings.leave(engine, again, endings.succeeded(ANSWER, "counted@v1"))
    assert _value("task_wait_seconds_count") == waits + 1
    assert _value("tasks_taken_in_total") == taken_in
    assert _value("task_runs_total", state="queued") == 1


def test_a_task_that_a_person_ended_counts_its_end_and_no_time(engine: Engine) -> None:
    held = _claimed(engine)
    before, ended = _value("task_seconds_count"), _value("tasks_ended_total", state="succeeded")
    outcome = Outcome(
        kind=OutcomeKind.REVIEW, reason="Not sure.", review_kind=ReviewKind.LOW_CONFIDENCE
    )
    with engine.begin() as connection:
        endings.leave(connection, held, endings.parked(outcome, "counted@v1"))
        reviews.add(
            connection,
            task_id=held.task_id,
            tenant="acme",
            agent=AGENT,
            kind=ReviewKind.LOW_CONFIDENCE,
            reason="Not sure.",
            packet={"request": "hello"},
        )
        parked.queue_task(connection, held.task_id)
        again = claims.claim(connection, held.task_id, HOLDER)
    assert again is not None
    endings.leave(engine, again, endings.succeeded(ANSWER, "counted@v1"))
    assert _value("task_seconds_count") == before
    assert _value("tasks_ended_total", state="succeeded") == ended + 1
    assert _value("task_runs_total", state="in_review") == 1


def test_a_task_that_was_to_wait_tells_nothing_of_how_busy_the_fleet_is(engine: Engine) -> None:
    waits, times = _value("task_wait_seconds_count"), _value("task_seconds_count")
    held = _claimed(engine, not_before=datetime.now(UTC) - timedelta(hours=1))
    endings.leave(engine, held, endings.succeeded(ANSWER, "counted@v1"))
    assert (_value("task_wait_seconds_count"), _value("task_seconds_count")) == (waits, times)


def test_ends_without_a_worker_are_counted(engine: Engine) -> None:
    held = _claimed(engine)
    late = build_envelope(
        agent=AGENT,
        tenant="acme",
        input="hello",
        deadline=datetime.now(UTC) - timedelta(seconds=1),
    )
    with engine.begin() as connection:
        tasks.accept(connection, late, traceparent=None)
        assert tasks.cancel(connection, held.task_id, tenant="acme")
        assert not tasks.cancel(connection, held.task_id, tenant="acme")
        recovery.expire_overdue(connection, limit=10)
    assert _value("tasks_ended_total", state="cancelled") == 1
    assert _value("tasks_ended_total", state="expired") == 1
