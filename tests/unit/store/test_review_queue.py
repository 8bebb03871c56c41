"""The order of the queue, its pages and filters."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from fleet_contracts.outcome import ReviewKind
from fleet_workers.store import review_queue, reviews
from fleet_workers.store.review_queue import QueueFilter
from fleet_workers.store.reviews import Standing
from support.databases import temporary_store


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=2) as engine:
        yield engine


@pytest.fixture(autouse=True)
def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM reviews"))


def add(
    engine: Engine,
    *,
    tenant: str = "acme",
    kind: ReviewKind = ReviewKind.APPROVAL,
    agent: str = "billing",
    **standing: Any,
) -> UUID:
    values: dict[str, Any] = {
        "priority": 2,
        "due": timedelta(hours=1),
        "group": None,
        "skills": (),
        "escalates": None,
        "request_line": "r",
        "proposal_line": "p",
        "customer": "cus_1",
        "confidence": 0.5,
    }
    with engine.begin() as connection:
        return reviews.add(
            connection,
            task_id=uuid4(),
            tenant=tenant,
            agent=agent,
            kind=kind,
            reason="why",
            packet={"request": "r"},
            standing=Standing(**{**values, **standing}),
        ).id


def listed(engine: Engine, limit: int = 100, **wanted: Any) -> list[UUID]:
    with engine.begin() as connection:
        found = review_queue.page(connection, QueueFilter(**wanted), limit=limit)
        assert review_queue.count(connection, QueueFilter(**wanted)) == len(found)
    return [row.id for row in found]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    standings=st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), max_size=12),
    limit=st.integers(1, 5),
)
def test_pages_together_hold_every_item_once_in_order(
    engine: Engine, standings: list[tuple[int, int]], limit: int
) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM reviews"))
    ids = {add(engine, priority=p, due=timedelta(hours=h)) for p, h in standings}
    seen, after = [], None
    with engine.begin() as connection:
        while True:
            rows = review_queue.page(connection, QueueFilter(), after=after, limit=limit)
            seen += rows
            if len(rows) < limit:
                break
            after = rows[-1].place
    assert {row.id for row in seen} == ids
    assert len(seen) == len(ids)
    order = [(row.priority, row.due_at, row.id) for row in seen]
    assert order == sorted(order)


def test_filters_show_what_is_asked_for(engine: Engine) -> None:
    plain = add(engine)
    other = add(engine, agent="onboarding", kind=ReviewKind.IN_DOUBT, priority=0)
    late = add(engine, due=timedelta(hours=-1), priority=3)
    grouped = add(engine, group="leads", skills=("german", "tax"))
    foreign = add(engine, tenant="globex")
    assert listed(engine, agent="onboarding") == [other]
    assert listed(engine, kind=ReviewKind.IN_DOUBT) == [other]
    assert listed(engine, priority=3) == listed(engine, overdue=True) == [late]
    assert listed(engine, group="leads") == [grouped]
    assert listed(engine, tenant="globex") == [foreign]
    # Who is bound to groups sees theirs, and what is of none
    assert grouped not in listed(engine, tenant="acme", groups=("sales",))
    assert set(listed(engine, tenant="acme", groups=("sales", "leads"))) == {
        plain,
        other,
        late,
        grouped,
    }
    assert grouped in listed(engine, skills=("german", "tax", "law"))
    assert grouped not in listed(engine, skills=("german",))


def test_mine_is_what_i_claimed_or_was_given(engine: Engine) -> None:
    claimed, given_to_me, over, plain = (add(engine) for _ in range(4))
    hour = timedelta(hours=1)
    with engine.begin() as connection:
        assert review_queue.claim(connection, claimed, tenant="acme", by="ann", lasts=hour)
        assert review_queue.claim(connection, over, tenant="acme", by="ann", lasts=-hour)
        review_queue.hand_over(connection, given_to_me, assignee="ann")
    assert set(listed(engine, mine="ann")) == {claimed, given_to_me}
    assert set(listed(engine, unclaimed=True)) == {given_to_me, over, plain}
    assert listed(engine, mine="bob") == []


def test_a_group_that_somebody_is_not_in_cannot_be_claimed(engine: Engine) -> None:
    grouped = add(engine, group="leads")
    hour = timedelta(hours=1)
    with engine.begin() as connection:
        outsider = {"tenant": "acme", "by": "ann", "lasts": hour}
        assert review_queue.claim(connection, grouped, groups=("sales",), **outsider) is None
        assert reviews.get(connection, grouped, tenant="acme", groups=("sales",)) is None
        assert review_queue.claim(connection, grouped, groups=("leads",), **outsider)


def test_what_is_decided_is_in_no_list(engine: Engine) -> None:
    review_id = add(engine)
    with engine.begin() as connection:
        reviews.record_decision(connection, review_id, {}, decided_by="ann")
    assert listed(engine) == []
