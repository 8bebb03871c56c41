"""The timeline of a task: what stands out, which run a step was in, and what it all took."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.journal import Step, StepKind, StepState, Usage
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web.console.step_reading import standing_of
from fleet_workers.web.console.task_totals import add_up
from fleet_workers.web.console.timeline import Entry, build_timeline

BEGUN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GATES = [{"gate": "budget", "ruling": "pass"}, {"gate": "approval", "ruling": "pass"}]


def at(seconds: float) -> datetime:
    return BEGUN + timedelta(seconds=seconds)


def step(
    kind: StepKind,
    name: str = "x",
    result: dict[str, Any] | None = None,
    *,
    seq: int = 0,
    request: dict[str, Any] | None = None,
    began: float = 0,
    took: float | None = 0,
    usage: Usage | None = None,
) -> Step:
    return Step(
        seq=seq,
        kind=kind,
        name=name,
        state=StepState.STARTED if result is None else StepState.DONE,
        request=request or {},
        result=result,
        usage=usage,
        started_at=at(began),
        finished_at=None if took is None or result is None else at(began + took),
    )


def item(kind: ReviewKind, *, opened: float = 0, decided: float | None = None) -> ReviewItem:
    return ReviewItem(
        id=uuid4(),
        task_id=uuid4(),
        tenant="acme",
        agent="billing",
        kind=kind,
        reason="r",
        state="waiting" if decided is None else "resumed",
        packet={},
        created_at=at(opened),
        decided_at=None if decided is None else at(decided),
    )


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({}, "replies in words"),
        (
            {"source": "exact_cache", "provenance": {"task": "t1"}, "saved_usd": "0.02"},
            "replies in words (stored: the same was asked before by task t1, saved $0.02)",
        ),
        (
            {"source": "semantic_cache", "provenance": {"task": "t1", "similarity": 0.91}},
            "replies in words (stored: the same was asked in other words by task t1, 0.910 alike)",
        ),
        (
            {"source": "in_flight", "provenance": "broken"},
            "replies in words (shared: the same was being asked)",
        ),
        ({"source": "unheard of"}, "replies in words"),
    ],
)
def test_a_plan_that_was_no_call_of_its_own_says_where_it_is_from(
    origin: dict[str, Any], words: str
) -> None:
    plan = step(StepKind.PLAN, result={"text": "x", **origin})
    (entry,) = build_timeline([plan], begun_at=BEGUN)
    assert entry.summary == words


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"tier": "large"}, "replies in words"),
        (
            {"tier": "small", "degraded_from": "large", "degraded_because": "x"},
            "replies in words (asked for small in place of large: the budget)",
        ),
        (
            {"tier": "small", "degraded_from": "large", "most_tokens": 1024},
            "replies in words (asked for small in place of large, a short answer: the budget)",
        ),
    ],
)
def test_a_plan_that_was_asked_for_in_place_of_a_dearer_one_says_so(
    request_: dict[str, Any], words: str
) -> None:
    (entry,) = timeline(step(StepKind.PLAN, result={"text": "x"}, request=request_))
    assert entry.summary == words


def timeline(*steps: Step, **given_: Any) -> list[Entry]:
    return build_timeline(steps, begun_at=BEGUN, **given_)


@pytest.mark.parametrize(
    ("kind", "name", "result", "tone", "status"),
    [
        (StepKind.PLAN, "billing", None, "wait", "not ended"),
        (StepKind.PLAN, "billing", {"text": "a"}, "good", "done"),
        (StepKind.TOOL, "t", {"error": "no"}, "bad", "failed"),
        (StepKind.TOOL, "t", {"in_doubt": "who knows"}, "bad", "in doubt"),
        (StepKind.TOOL, "t", {"value": 1, "signals": ["override"]}, "wait", "suspicious"),
        (StepKind.GATE, "grant", {"ruling": "refuse", "reason": "r"}, "bad", "refused"),
        (StepKind.GATE, "grant", {"ruling": "review"}, "wait", "asks a person"),
        (StepKind.REVIEW, "approval", {"state": "waiting"}, "wait", "asks a person"),
        (StepKind.REVIEW, "decision", {"ruling": "approve"}, "good", "approved"),
        (StepKind.REVIEW, "decision", {"ruling": "reject"}, "bad", "rejected"),
        (StepKind.REVIEW, "decision_used", {"review": "1"}, "quiet", "used"),
        (StepKind.REVIEW, "not_called", {"text": "t"}, "wait", "held back"),
        (StepKind.FAILURE, "gone", {"error": "e", "retry_in_seconds": 2}, "bad", "will be retried"),
        (StepKind.FAILURE, "gone", {"error": "e"}, "bad", "given up"),
        (StepKind.CONFIDENCE, "confidence", {"score": 0.5, "reasons": ["a"]}, "wait", "doubts"),
        (StepKind.CONFIDENCE, "confidence", {"score": 0.9, "reasons": []}, "quiet", "noted"),
        (StepKind.OUTBOUND, "outbound", {"verdicts": [{"ruling": "pass"}]}, "good", "passed"),
        (StepKind.OUTBOUND, "outbound", {"verdicts": [{"ruling": "doubt"}]}, "wait", "doubts"),
        (StepKind.OUTBOUND, "outbound", {"verdicts": [{"ruling": "refuse"}]}, "bad", "refused"),
    ],
)
def test_each_kind_of_step_says_how_it_stands(
    kind: StepKind, name: str, result: dict[str, Any] | None, tone: str, status: str
) -> None:
    assert standing_of(step(kind, name, result)) == (tone, status)
    (entry,) = timeline(step(kind, name, result))
    assert entry.is_problem == (tone in {"bad", "wait"})


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"zone": "sure", "likely": "billing", "score": 0.71}, "sure of billing (score 0.71)"),
        ({"zone": "unsure", "likely": "billing", "score": 0.2}, "not sure; billing is likeliest"),
        ({"zone": "out_of_scope", "likely": "billing", "score": 0.03}, "no request like this one"),
        ({"zone": "unknown", "why": "Embeddings are away."}, "no verdict. Embeddings are away."),
        ({"zone": "sure", "likely": None, "score": "strange"}, "sure of None."),
        ({"agent": "billing", "by": "model"}, "billing"),
    ],
)
def test_what_the_router_said_stands_in_a_sentence(result: dict[str, Any], words: str) -> None:
    (entry,) = timeline(step(StepKind.TRIAGE, "router", result))
    assert words in entry.summary


def test_a_gate_that_objects_makes_a_problem_of_a_call_that_was_done() -> None:
    objecting = [*GATES, {"gate": "plan_lock", "ruling": "review", "reason": "tainted"}]
    plain, stopped = timeline(
        step(StepKind.TOOL, "t", {"value": 1}, request={"arguments": {}, "gates": GATES}),
        step(StepKind.TOOL, "t", {"value": 1}, request={"arguments": {}, "gates": objecting}),
    )
    assert (plain.passed, plain.objections, plain.is_problem) == (2, [], False)
    assert [each.reason for each in stopped.objections] == ["tainted"]
    assert stopped.is_problem


def test_a_step_is_measured_against_the_longest() -> None:
    slow, fast, note = timeline(
        step(StepKind.TOOL, "t", {"value": 1}, began=25, took=50),
        step(StepKind.PLAN, "b", {"text": ""}, began=80, took=5),
        step(StepKind.GATE, "g", {"ruling": "pass"}, began=90, took=1),
    )
    assert (slow.after, slow.duration) == (timedelta(seconds=25), timedelta(seconds=50))
    assert (slow.share, fast.share) == (100, 10)
    assert (note.duration, note.share) == (None, None)


def test_a_clock_that_went_back_gives_no_negative_time() -> None:
    (entry,) = timeline(step(StepKind.TOOL, "t", {"value": 1}, began=5, took=-3))
    assert (entry.duration, entry.share) == (timedelta(0), None)


def test_runs_are_told_apart_by_the_claims_that_wrote_the_steps() -> None:
    steps = [step(StepKind.GATE, "g", {"ruling": "pass"}, seq=seq) for seq in range(5)]
    entries = timeline(*steps, epochs={0: 1, 1: 1, 2: 3, 3: 3, 4: 7})
    assert [each.run for each in entries] == [1, 1, 2, 2, 3]
    # A step that a later worker took over stands before steps of the earlier one.
    assert [each.run for each in timeline(*steps, epochs={0: 2, 1: 1, 2: 1, 3: 3, 4: 3})] == [
        *(1, 1, 1, 2, 2)
    ]


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (step(StepKind.TRIAGE, "triage", {"agent": "billing"}), "in the pool of billing"),
        (step(StepKind.FAILURE, "gone", {"error": "e"}), "the next attempt"),
        (step(StepKind.REVIEW, "decision", {"ruling": "approve"}), "after a person's word"),
        (step(StepKind.TOOL, "t", None), "taken up again: by another worker"),
    ],
)
def test_another_run_says_why_there_was_one(before: Step, why: str) -> None:
    first = step(StepKind.INBOUND, "inbound", {})
    after = step(StepKind.PLAN, "billing", {"text": ""}, seq=2)
    entries = timeline(first, before, after, after, epochs={0: 1, 2: 5})
    assert [each.run for each in entries] == [1, 1, 2, 2]
    assert entries[0].run_began == ""
    assert entries[2].run_began.startswith(why)
    assert entries[3].run_began == entries[2].run_began


def test_each_question_to_a_person_leads_to_its_own_review() -> None:
    first, second = item(ReviewKind.APPROVAL), item(ReviewKind.APPROVAL)
    doubt = item(ReviewKind.IN_DOUBT)
    steps = [
        step(StepKind.REVIEW, "approval", {"state": "waiting"}, seq=0),
        step(StepKind.REVIEW, "decision", {"review": str(first.id), "ruling": "reject"}, seq=1),
        step(StepKind.REVIEW, "in_doubt", {"state": "waiting"}, seq=2),
        step(StepKind.REVIEW, "approval", {"state": "waiting"}, seq=3),
        step(StepKind.REVIEW, "decision", {"review": str(uuid4()), "ruling": "answer"}, seq=4),
    ]
    entries = timeline(*steps, reviews=[first, doubt, second])
    assert [each.review for each in entries] == [first.id, first.id, doubt.id, second.id, None]


def test_what_it_took_adds_up() -> None:
    priced = Usage(model="m", tokens=100, cost_usd=Decimal("0.10"))
    free = Usage(model="m", tokens=50)
    steps = [
        step(StepKind.PLAN, "b", {"text": ""}, took=10, usage=priced),
        step(StepKind.TOOL, "t", {"value": 1}, took=20),
        step(StepKind.PLAN, "b", {"text": ""}, took=5, usage=free),
        step(StepKind.PLAN, "b", None),
    ]
    reviews = [
        item(ReviewKind.APPROVAL, opened=40, decided=60),
        item(ReviewKind.SAMPLED, opened=500, decided=900),  # it ended long before
    ]
    totals = add_up(steps, reviews, begun_at=BEGUN, ended_at=at(100))
    assert totals.life == timedelta(seconds=100)
    assert totals.in_models == timedelta(seconds=15)
    assert totals.in_tools == timedelta(seconds=20)
    assert totals.with_people == timedelta(seconds=20)
    assert totals.waited == timedelta(seconds=45)
    assert (totals.model_calls, totals.tool_calls, totals.tokens) == (3, 1, 150)
    assert (totals.cost_usd, totals.unpriced) == (Decimal("0.10"), 1)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_fields = st.dictionaries(
    st.sampled_from(
        [
            *("ruling", "reason", "gates", "verdicts", "signals", "score", "reasons", "calls"),
            *("error", "in_doubt", "text", "review", "by", "model", "retry_in_seconds", "value"),
            "arguments",
        ]
    ),
    _json,
    max_size=5,
)


@given(kind=st.sampled_from(list(StepKind)), request=_fields, result=st.none() | _fields)
def test_no_row_of_a_journal_is_too_strange_to_show(
    kind: StepKind, request: dict[str, Any], result: dict[str, Any] | None
) -> None:
    shown = step(kind, "decision", result, request=request)
    (entry,) = timeline(shown, reviews=[item(ReviewKind.APPROVAL)])
    assert isinstance(entry.summary, str)
    assert entry.tone in {"good", "bad", "wait", "quiet"}
    assert entry.is_problem in {True, False}
