"""What a decision says about the agent, and that it is kept once."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, Row, insert, select, text

from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.binding import Ruling, with_edited_arguments
from fleet_workers.review.labelling import keep_label, proposed_by, was_right
from fleet_workers.store import plan_cache, review_queue, reviews
from fleet_workers.store.accounts import FLEET
from fleet_workers.store.desk_tables import labels, samples
from fleet_workers.store.model_tables import plan_cache as plan_cache_rows
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.store.tables import steps
from support.databases import temporary_store

ANSWER = {"answer": "It is paid.", "plan": 0}
ACTION = {"tool": "refund", "arguments": {"amount": "5"}, "plan": 0, "call": 0, "policy": "x"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=5) as engine:
        yield engine


def opened(
    engine: Engine,
    proposal: dict[str, Any],
    kind: ReviewKind = ReviewKind.LOW_CONFIDENCE,
    **packet: Any,
) -> ReviewItem:
    with engine.begin() as connection:
        return reviews.add(
            connection,
            task_id=uuid4(),
            tenant="acme",
            agent="billing",
            kind=kind,
            reason="r",
            packet={"proposal": proposal, "release": "billing@v1", **packet},
        )


def decided(engine: Engine, item: ReviewItem) -> ReviewItem:
    with engine.begin() as connection:
        return reviews.record_decision(connection, item.id, {}, decided_by="ann")


def label_of(engine: Engine, review_id: UUID) -> Row[Any]:
    with engine.connect() as connection:
        return connection.execute(select(labels).where(labels.c.review_id == review_id)).one()


@pytest.mark.parametrize(
    ("kind", "proposal", "ruling", "text", "right"),
    [
        (ReviewKind.LOW_CONFIDENCE, ANSWER, Ruling.APPROVE, "", True),
        (ReviewKind.LOW_CONFIDENCE, ANSWER, Ruling.EDIT, "It is open.", False),
        (ReviewKind.LOW_CONFIDENCE, ANSWER, Ruling.EDIT, " It is paid.\n", True),
        (ReviewKind.LOW_CONFIDENCE, ANSWER, Ruling.REJECT, "Wrong.", False),
        (ReviewKind.LOW_CONFIDENCE, ANSWER, Ruling.ANSWER, "It is open.", False),
        (ReviewKind.LOW_CONFIDENCE, ANSWER, Ruling.ASK, "Which one?", None),
        (ReviewKind.LOW_CONFIDENCE, ANSWER, Ruling.REASSIGN, "Not ours.", None),
        (ReviewKind.APPROVAL, ACTION, Ruling.APPROVE, "", True),
        (ReviewKind.APPROVAL, ACTION, Ruling.REJECT, "No.", False),
        (ReviewKind.SAMPLED, {"answer": "x"}, Ruling.APPROVE, "", True),
        (ReviewKind.SAMPLED, {"answer": "x"}, Ruling.REJECT, "Wrong.", False),
        (ReviewKind.FLAGGED, {"answer": "x"}, Ruling.EDIT, "y", False),
        # The agent said itself that it cannot: nothing that could be right or wrong.
        (ReviewKind.OUT_OF_SCOPE, {"plan": 0}, Ruling.ANSWER, "So it is.", None),
        (ReviewKind.OUT_OF_SCOPE, {}, Ruling.REJECT, "No.", None),
        # A call whose effect nobody knows is no fault of the agent.
        (ReviewKind.IN_DOUBT, ACTION, Ruling.REJECT, "Not done.", None),
        (ReviewKind.IN_DOUBT, ACTION, Ruling.APPROVE, "", None),
        (ReviewKind.TOOL_AWAY, ACTION, Ruling.REJECT, "Later.", None),
    ],
)
def test_a_ruling_says_whether_the_agent_was_right(
    engine: Engine,
    *,
    kind: ReviewKind,
    proposal: dict[str, Any],
    ruling: Ruling,
    text: str,
    right: bool | None,
) -> None:
    assert was_right(opened(engine, proposal, kind), ruling, text) is right


def test_an_edited_action_counts_as_wrong_whoever_approves_it_then(engine: Engine) -> None:
    item = opened(engine, ACTION, ReviewKind.APPROVAL)
    changed = item.model_copy(update={"packet": with_edited_arguments(item, {"amount": "4"})})
    for ruling in (Ruling.EDIT, Ruling.APPROVE):
        assert was_right(changed, ruling) is False
    assert proposed_by(changed)["arguments"] == {"amount": "5"}
    # An edit that changes nothing is an approval.
    same = item.model_copy(update={"packet": with_edited_arguments(item, {"amount": "5"})})
    assert was_right(same, Ruling.EDIT) is True


def test_what_was_wrong_is_not_said_again(engine: Engine) -> None:
    original, other = uuid4(), uuid4()
    item = decided(engine, opened(engine, ANSWER))
    right = decided(engine, opened(engine, ANSWER))
    with engine.begin() as connection:
        for task_id in (original, other, item.task_id, right.task_id):
            _store_reply(connection, task_id)
        told = {"source": "semantic_cache", "provenance": {"task": str(original)}}
        for seq, result in enumerate((told, {"provenance": {"task": "no id"}}, {"text": "x"})):
            connection.execute(
                insert(steps).values(
                    task_id=item.task_id,
                    seq=seq,
                    epoch=1,
                    kind="plan",
                    name="billing",
                    state="done",
                    request={},
                    result=result,
                )
            )
        keep_label(connection, right, Ruling.APPROVE, "")
        keep_label(connection, item, Ruling.REJECT, "Wrong.")
        left = connection.execute(select(plan_cache_rows.c.task_id)).scalars().all()
    assert set(left) == {other, right.task_id}


def _store_reply(connection: Connection, task_id: UUID) -> None:
    plan_cache.put(
        connection,
        plan_cache.Entry(
            tenant="acme",
            key=task_id.bytes,
            agent="billing",
            release="billing@v1",
            data_version=0,
            reply={},
            task_id=task_id,
            lifetime=timedelta(hours=1),
        ),
    )


def test_an_action_that_nobody_allowed_in_time_is_no_fault_of_the_agent(engine: Engine) -> None:
    item = opened(engine, ACTION, ReviewKind.APPROVAL)
    assert was_right(item.model_copy(update={"decided_by": FLEET}), Ruling.REJECT) is None
    assert was_right(item.model_copy(update={"decided_by": "ann"}), Ruling.REJECT) is False


def test_a_review_has_one_label_and_the_first_stands(engine: Engine) -> None:
    item = decided(engine, opened(engine, ANSWER, confidence=0.42))
    with engine.begin() as connection:
        keep_label(connection, item, Ruling.APPROVE, "")
        keep_label(connection, item, Ruling.REJECT, "No.")
    label = label_of(engine, item.id)
    assert (label.ruling, label.right, label.confidence) == ("approve", True, 0.42)
    assert (label.release, label.decided_by, label.weight) == ("billing@v1", "ann", 1.0)
    assert label.proposed == {"answer": "It is paid.", "plan": 0}
    assert label.decided_at == item.decided_at
    assert label.seconds == pytest.approx(
        (item.decided_at - item.created_at).total_seconds() if item.decided_at else -1
    )


def test_a_label_vanishes_with_its_decision(engine: Engine) -> None:
    item = decided(engine, opened(engine, ANSWER))
    with engine.connect() as connection:
        keep_label(connection, item, Ruling.APPROVE, "")
        connection.rollback()
        found = select(labels.c.review_id).where(labels.c.review_id == item.id)
        assert connection.execute(found).all() == []


def test_a_drawn_task_counts_with_the_weight_of_its_draw(engine: Engine) -> None:
    item = decided(engine, opened(engine, {"answer": "x"}, ReviewKind.SAMPLED, confidence=0.9))
    with engine.begin() as connection:
        connection.execute(
            insert(samples).values(
                task_id=item.task_id,
                review_id=item.id,
                tenant="acme",
                agent="billing",
                stratum="high/novel",
                weight=10.0,
            )
        )
        keep_label(connection, item, Ruling.APPROVE, "")
    label = label_of(engine, item.id)
    assert (label.stratum, label.weight) == ("high/novel", 10.0)


@pytest.mark.parametrize("confidence", ["0.9", True, 7, -1, None, [], {}])
def test_a_broken_packet_gives_a_label_all_the_same(engine: Engine, confidence: object) -> None:
    item = opened(engine, ANSWER, confidence=confidence)
    item = item.model_copy(update={"packet": {**item.packet, "release": 7}})
    item = decided(engine, item).model_copy(update={"packet": item.packet})
    with engine.begin() as connection:
        keep_label(connection, item, Ruling.REJECT, "NUL \0 and \ud800 in it")
    label = label_of(engine, item.id)
    assert label.confidence is None
    assert label.release is None
    assert label.decided == {"text": "NUL \u2400 and \ufffd in it"}


def test_the_time_is_that_since_the_claim(engine: Engine) -> None:
    hour = timedelta(hours=1)
    item = opened(engine, ANSWER)
    with engine.begin() as connection:
        connection.execute(text("UPDATE reviews SET created_at = now() - interval '9 hours'"))
        # Claimed ten minutes ago by somebody who claims it once more now, to keep it longer
        assert review_queue.claim(connection, item.id, tenant=None, by="ann", lasts=hour)
        connection.execute(text("UPDATE reviews SET claimed_at = now() - interval '10 minutes'"))
        assert review_queue.claim(connection, item.id, tenant=None, by="ann", lasts=hour)
    done = decided(engine, item)
    with engine.begin() as connection:
        keep_label(connection, done, Ruling.APPROVE, "")
    assert 599 < label_of(engine, item.id).seconds < 700
