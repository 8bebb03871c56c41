"""Claims, fences and the ways out of `running`, against a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select, update

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import Conflict, LeaseLost
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.store import claims, endings, recovery, reviews, tables, tasks, views
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.journal import Step, StepKind, StepState, StoredJournal, read_steps

LEASE = timedelta(seconds=30)
ANSWER = Outcome(kind=OutcomeKind.ANSWERED, answer="done", confidence=0.9)


def accepted(engine: Engine, **fields: object) -> TaskEnvelope:
    values = {"tenant": "acme", "agent": "billing", "input": "hello", **fields}
    envelope = build_envelope(**values)
    with engine.begin() as connection:
        assert tasks.accept(connection, envelope, traceparent=None)
    return envelope


def claimed(engine: Engine, envelope: TaskEnvelope, worker: str = "w1") -> Claim | None:
    with engine.begin() as connection:
        return claims.claim(connection, envelope.id, holder(worker))


def holder(worker: str = "w1") -> Holder:
    return Holder(worker=worker, presence=1, lease=LEASE, silence=LEASE)


def journal_of(engine: Engine, envelope: TaskEnvelope) -> list[Step]:
    with engine.begin() as connection:
        return read_steps(connection, envelope.id)


def end_lease(engine: Engine, envelope: TaskEnvelope) -> None:
    with engine.begin() as connection:
        connection.execute(
            update(tables.tasks)
            .where(tables.tasks.c.id == envelope.id)
            .values(lease_until=func.now() - timedelta(seconds=1))
        )


def state_of(engine: Engine, envelope: TaskEnvelope) -> TaskState:
    with engine.begin() as connection:
        view = views.view(connection, envelope.id, tenant=None)
    assert view is not None
    return view.state


def test_the_same_task_is_accepted_once_and_other_content_is_a_conflict(engine: Engine) -> None:
    envelope = accepted(engine, idempotency_key="order-1")
    again = build_envelope(tenant="acme", agent="billing", input="hello", idempotency_key="order-1")
    other = build_envelope(tenant="acme", agent="billing", input="bye", idempotency_key="order-1")
    with engine.begin() as connection:
        assert again.id == envelope.id
        assert not tasks.accept(connection, again, traceparent=None)
        with pytest.raises(Conflict, match="order-1"):
            tasks.accept(connection, other, traceparent=None)


def test_of_many_claims_at_once_one_succeeds(engine: Engine) -> None:
    envelope = accepted(engine)
    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(lambda n: claimed(engine, envelope, f"w{n}"), range(10)))
    assert sum(claim is not None for claim in made) == 1


def test_an_ended_lease_lets_another_worker_in_and_shuts_the_first_out(engine: Engine) -> None:
    # Given a worker whose lease has ended while it was stalled
    envelope = accepted(engine)
    first = claimed(engine, envelope)
    assert first is not None
    journal = StoredJournal(engine, first)
    seq = journal.begin(StepKind.TOOL, "refund", {"arguments": {}, "effect": "write"})
    assert claimed(engine, envelope, "w2") is None
    end_lease(engine, envelope)
    # When another worker takes the task
    second = claimed(engine, envelope, "w2")
    # I expect that the first can write nothing more, and the second sees the step in doubt
    assert second is not None
    assert second.epoch == first.epoch + 1
    with pytest.raises(LeaseLost):
        journal.finish(seq, {"value": 1})
    with pytest.raises(LeaseLost):
        journal.begin(StepKind.TOOL, "refund", {"arguments": {}})
    with pytest.raises(LeaseLost):
        journal.resume(seq)
    with engine.begin() as connection, pytest.raises(LeaseLost):
        endings.leave(connection, first, endings.succeeded(ANSWER, "r"))
    steps = journal_of(engine, envelope)
    assert [(step.name, step.state) for step in steps] == [("refund", StepState.STARTED)]


def test_verdicts_are_written_with_the_next_step_and_survive(engine: Engine) -> None:
    envelope = accepted(engine)
    claim = claimed(engine, envelope)
    assert claim is not None
    journal = StoredJournal(engine, claim)
    journal.record(StepKind.INBOUND, "inbound", {"signals": []})
    assert journal_of(engine, envelope) == []
    seq = journal.begin(StepKind.PLAN, "billing", {"tier": "small"})
    journal.finish(seq, {"text": "x"})
    journal.record(StepKind.CONFIDENCE, "confidence", {"score": 1})
    journal.leave(endings.succeeded(ANSWER, "r"))
    read = journal_of(engine, envelope)
    assert [(step.seq, step.kind, step.state) for step in read] == [
        (0, StepKind.INBOUND, StepState.DONE),
        (1, StepKind.PLAN, StepState.DONE),
        (2, StepKind.CONFIDENCE, StepState.DONE),
    ]
    assert state_of(engine, envelope) is TaskState.SUCCEEDED


def test_a_cancelled_task_stops_its_worker_before_the_next_step(engine: Engine) -> None:
    envelope = accepted(engine)
    claim = claimed(engine, envelope)
    assert claim is not None
    journal = StoredJournal(engine, claim)
    with engine.begin() as connection:
        assert not tasks.cancel(connection, envelope.id, tenant="globex")
        assert tasks.cancel(connection, envelope.id, tenant="acme")
        assert not tasks.cancel(connection, envelope.id, tenant="acme")
    with pytest.raises(LeaseLost):
        journal.begin(StepKind.TOOL, "refund", {})
    assert claimed(engine, envelope) is None


def test_renewal_keeps_only_what_is_still_held(engine: Engine) -> None:
    kept, lost = accepted(engine), accepted(engine)
    made = {each.id: claimed(engine, each) for each in (kept, lost)}
    end_lease(engine, lost)
    assert claimed(engine, lost, "w2") is not None
    held = {task_id: claim.epoch for task_id, claim in made.items() if claim is not None}
    with engine.begin() as connection:
        assert claims.renew(connection, held, holder()) == {kept.id}


def test_a_due_retry_an_abandoned_and_a_forgotten_task_are_queued_once(engine: Engine) -> None:
    # Given one task of each kind
    due, abandoned, forgotten = accepted(engine), accepted(engine), accepted(engine)
    claim = claimed(engine, due)
    assert claim is not None
    with engine.begin() as connection:
        endings.leave(
            connection,
            claim,
            endings.retrying(claim, delay=timedelta(seconds=-1), error={"code": "unavailable"}),
        )
    assert claimed(engine, abandoned) is not None
    end_lease(engine, abandoned)
    with engine.begin() as connection:
        connection.execute(
            update(tables.tasks)
            .where(tables.tasks.c.id == forgotten.id)
            .values(woken_at=func.now() - timedelta(hours=1))
        )

    def sweep() -> list[object]:
        with engine.begin() as connection:
            return [
                *recovery.requeue_due(connection, limit=100),
                *recovery.requeue_abandoned(connection, limit=100),
                *recovery.requeue_forgotten(
                    connection, agent="billing", silence=timedelta(minutes=5), limit=100
                ),
            ]

    # When several janitors sweep at the same time
    with ThreadPoolExecutor(4) as pool:
        found = [task_id for each in pool.map(lambda _: sweep(), range(4)) for task_id in each]
    # I expect each task to be found by one of them
    assert sorted(map(str, found)) == sorted(str(each.id) for each in (due, abandoned, forgotten))
    assert {state_of(engine, each) for each in (due, abandoned, forgotten)} == {TaskState.QUEUED}
    with engine.begin() as connection:
        attempts = connection.execute(
            select(tables.tasks.c.attempts).where(tables.tasks.c.id == due.id)
        ).scalar_one()
    assert attempts == 1


def test_a_deadline_ends_a_task_wherever_it_stands(engine: Engine) -> None:
    envelope = accepted(engine, deadline=datetime.now(UTC) - timedelta(seconds=1))
    claim = claimed(engine, envelope)
    assert claim is not None
    with engine.begin() as connection:
        assert envelope.id in recovery.expire_overdue(connection, limit=100)
    assert state_of(engine, envelope) is TaskState.EXPIRED
    with pytest.raises(LeaseLost):
        StoredJournal(engine, claim).begin(StepKind.TOOL, "refund", {})


def test_a_review_whose_task_ends_otherwise_waits_no_more(engine: Engine) -> None:
    envelope = accepted(engine, deadline=datetime.now(UTC) - timedelta(seconds=1))
    with engine.begin() as connection:
        item = reviews.add(
            connection,
            task_id=envelope.id,
            tenant="acme",
            agent="billing",
            kind=ReviewKind.APPROVAL,
            reason="over the limit",
            packet={},
        )
        recovery.expire_overdue(connection, limit=100)
        found = reviews.get(connection, item.id, tenant="acme")
    assert found is not None
    assert (found.state, found.decision) == ("closed", {"closed": "expired"})
