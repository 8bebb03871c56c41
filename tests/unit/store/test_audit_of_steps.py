"""What a worker's journal leaves in the audit trail, and what it must not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Row, select

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import LeaseLost
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_workers.store import claims, tasks
from fleet_workers.store.audit import digest
from fleet_workers.store.audit_chain import seal
from fleet_workers.store.audit_reading import CHANGED, AuditFilter, newest
from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.audit_verify import verify
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.endings import succeeded
from fleet_workers.store.journal import Step, StepKind, StoredJournal
from fleet_workers.store.tables import steps
from support.databases import empty_tables

LEASE = timedelta(minutes=5)
HOLDER = Holder(worker="w1", presence=1, lease=LEASE, silence=LEASE)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CUSTOMERS_WORDS = "my name is Ann Miller and I live in Rose Lane 5"
REQUEST = {
    "plan": 1,
    "call": 0,
    "arguments": {"payment": "pay_7", "reason": CUSTOMERS_WORDS},
    "effect": "write",
    "key": "task:1:0",
}


@pytest.fixture
def held(engine: Engine) -> Claim:
    with engine.begin() as connection:
        empty_tables(connection)
        connection.exec_driver_sql("INSERT INTO tenants VALUES ('acme')")
        envelope = build_envelope(tenant="acme", agent="billing", input=CUSTOMERS_WORDS)
        claim = claims.take_new(connection, envelope, HOLDER, traceparent=TRACE)
    assert claim is not None
    return claim


def entries(engine: Engine, held: Claim) -> Sequence[Row[Any]]:
    with engine.connect() as connection:
        query = select(audit_inbox).where(audit_inbox.c.task_id == held.task_id)
        return connection.execute(query.order_by(audit_inbox.c.id)).all()


def said(engine: Engine, held: Claim) -> list[str]:
    return [f"{row.kind}: {row.what}" for row in entries(engine, held)]


def test_verdicts_and_writes_are_entries_and_reads_are_not(engine: Engine, held: Claim) -> None:
    journal = StoredJournal(engine, held)
    journal.record(StepKind.INBOUND, "inbound", {"signals": [CUSTOMERS_WORDS]})
    plan = journal.begin(StepKind.PLAN, "billing", {"messages": 2})
    journal.finish(plan, {"text": CUSTOMERS_WORDS})
    read = journal.begin(StepKind.TOOL, "find", {"effect": "read", "arguments": {}})
    journal.finish(read, {"value": CUSTOMERS_WORDS})
    refusal = {"plan": 1, "call": 0, "ruling": "refuse", "reason": CUSTOMERS_WORDS, "code": "over"}
    journal.record(StepKind.GATE, "spend", refusal)
    write = journal.begin(StepKind.TOOL, "refund", REQUEST)
    journal.finish(write, {"value": {"to": CUSTOMERS_WORDS}})
    evidence = {"score": 0.5, "reasons": [CUSTOMERS_WORDS]}
    journal.record(StepKind.CONFIDENCE, "confidence", evidence)
    outcome = Outcome(kind=OutcomeKind.ANSWERED, answer="Done.", confidence=0.9)
    journal.leave(succeeded(outcome, "billing@v1-0"))
    found = entries(engine, held)
    assert said(engine, held) == [
        "gate: spend refuse",
        "effect: refund begun",
        "effect: refund done",
        "gate: confidence",
    ]
    assert {(row.who, row.tenant, row.trace) for row in found} == {("agent:billing", "acme", TRACE)}
    gate = next(row for row in found if row.what == "spend refuse")
    assert gate.why == "over"
    assert gate.detail["reason_sha256"] == digest(CUSTOMERS_WORDS)
    begun = next(row for row in found if row.what == "refund begun")
    assert begun.detail == {
        "step": 4,
        "plan": 1,
        "call": 0,
        "key": "task:1:0",
        "arguments_sha256": digest(REQUEST["arguments"]),
    }
    assert found[-1].detail["score"] == "0.5"
    assert CUSTOMERS_WORDS not in json.dumps([list(map(str, row)) for row in found])


@pytest.mark.parametrize(
    ("result", "how"),
    [({"value": 1}, "done"), ({"error": "no"}, "failed"), ({"in_doubt": "?"}, "in doubt")],
)
def test_how_a_write_ended(engine: Engine, held: Claim, result: dict[str, Any], how: str) -> None:
    journal = StoredJournal(engine, held)
    journal.finish(journal.begin(StepKind.TOOL, "refund", REQUEST), result)
    assert said(engine, held)[1] == f"effect: refund {how}"


def test_a_statement_whose_answer_was_lost_writes_no_entry_twice(
    engine: Engine, held: Claim
) -> None:
    journal = StoredJournal(engine, held)
    seq = journal.begin(StepKind.TOOL, "refund", REQUEST)
    journal._pending.added.append(journal.steps()[seq])
    journal.flush()
    journal.finish(seq, {"value": 1})
    journal._pending.finished.append(journal.steps()[seq])
    journal.flush()
    assert said(engine, held) == ["effect: refund begun", "effect: refund done"]


def test_who_no_longer_holds_the_task_leaves_no_entry(engine: Engine, held: Claim) -> None:
    stale = StoredJournal(engine, replace(held, epoch=held.epoch + 5))
    with pytest.raises(LeaseLost):
        stale.begin(StepKind.TOOL, "refund", REQUEST)
    assert entries(engine, held) == []


def test_a_write_that_is_taken_up_again_is_an_entry_each_time(engine: Engine, held: Claim) -> None:
    StoredJournal(engine, held).begin(StepKind.TOOL, "refund", REQUEST)
    journal = StoredJournal(engine, replace(held, is_first=False))
    assert journal.resume(0) >= 0
    journal.ask_again(0)
    journal.finish(0, {"value": 1})
    assert [row.what for row in entries(engine, held)] == [
        "refund begun",
        "refund begun again",
        "refund asked again",
        "refund done",
    ]
    read = journal.begin(StepKind.TOOL, "find", {"effect": "read", "arguments": {}})
    journal.resume(read)
    assert len(entries(engine, held)) == 4


def test_a_result_that_comes_after_a_cancel_is_an_entry(engine: Engine, held: Claim) -> None:
    journal = StoredJournal(engine, held)
    seq = journal.begin(StepKind.TOOL, "refund", REQUEST)
    with engine.begin() as connection:
        assert tasks.cancel(connection, held.task_id, tenant="acme")
    with pytest.raises(LeaseLost):
        journal.finish(seq, {"value": 1})
    assert said(engine, held) == ["effect: refund begun", "effect: refund done"]


def shown(engine: Engine, held: Claim) -> list[str | None]:
    with engine.connect() as connection:
        found = newest(connection, AuditFilter(task_id=held.task_id), limit=10)
        return [each.reason for each in found]


def test_an_erasure_of_the_task_leaves_the_trail_whole_and_without_words(
    engine: Engine, held: Claim
) -> None:
    journal = StoredJournal(engine, held)
    journal.record(StepKind.GATE, "spend", {"ruling": "refuse", "reason": CUSTOMERS_WORDS})
    journal.flush()
    assert shown(engine, held) == [CUSTOMERS_WORDS]
    with engine.begin() as connection:
        connection.execute(steps.update().values(result={"reason": "No reason."}))
    assert shown(engine, held) == [CHANGED]
    with engine.begin() as connection:
        seal(connection, limit=1000)
        empty_tables(connection)
    assert shown(engine, held) == [None]
    with engine.connect() as connection:
        assert verify(connection).is_whole


def test_a_step_of_an_odd_form_is_no_hindrance(engine: Engine, held: Claim) -> None:
    journal = StoredJournal(engine, held)
    journal.record(StepKind.GATE, "odd", {"code": 7, "ruling": None, "plan": [1], "score": "x"})
    journal.finish(journal.begin(StepKind.TOOL, "bare", {"effect": "write"}), {})
    written: list[Step] = journal.steps()
    assert len(written) == 2
    assert sorted(row.what for row in entries(engine, held)) == ["bare begun", "bare done", "odd"]
