"""Which earlier decisions a person is shown beside a request: those most like it, of one tenant."""

import random
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, insert

from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.likeness import content_words, rank
from fleet_workers.review.similar import similar_decisions
from fleet_workers.store import reviews
from fleet_workers.store.desk_tables import labels
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.store.tables import reviews as review_rows
from support.databases import empty_tables, temporary_store

WORDS = "invoice refund plan seat card parcel login ticket export team price date name bank".split()  # noqa: SIM905 reads better


@pytest.fixture(scope="module")
def database() -> Iterator[Engine]:
    with temporary_store(connections=5) as engine:
        yield engine


@pytest.fixture
def engine(database: Engine) -> Engine:
    with database.begin() as connection:
        empty_tables(connection)
    return database


def opened(engine: Engine, request: str, *, tenant: str = "acme") -> ReviewItem:
    with engine.begin() as connection:
        return reviews.add(
            connection,
            task_id=uuid4(),
            tenant=tenant,
            agent="billing",
            kind=ReviewKind.APPROVAL,
            reason="r",
            packet={"request": request},
        )


def decided(engine: Engine, *requests: str, tenant: str = "acme", **values: Any) -> list[UUID]:
    ids = [uuid4() for _ in requests]
    review_values = [
        {
            "id": each,
            "task_id": uuid4(),
            "tenant": tenant,
            "agent": "billing",
            "kind": "approval",
            "reason": "r",
            "state": "resumed",
            "packet": {},
            "request_line": request,
        }
        for each, request in zip(ids, requests, strict=True)
    ]
    label = {
        "tenant": tenant,
        "agent": "billing",
        "kind": "approval",
        "ruling": "reject",
        "proposed": {"tool": "refund_payment", "arguments": {"amount_usd": "40"}},
        "decided": {"text": "Too old"},
        "decided_by": "ann",
        **values,
    }
    with engine.begin() as connection:
        connection.execute(insert(review_rows), review_values)
        connection.execute(
            insert(labels), [{**label, "review_id": each, "task_id": uuid4()} for each in ids]
        )
    return ids


def shown(engine: Engine, item: ReviewItem) -> list[Any]:
    with engine.connect() as connection:
        return similar_decisions(connection, item)


def test_the_most_alike_come_first_with_what_was_decided(engine: Engine) -> None:
    ids = decided(
        engine,
        "Where is my parcel?",
        "I was charged twice for June, refund the second charge",
        "Refund my June charge",
    )
    found = shown(engine, opened(engine, "You charged me twice in June! Please refund one charge."))
    assert [each.review for each in found] == [ids[1], ids[2]]
    first = found[0]
    assert (first.decided, first.said, first.by) == ("rejected", "Too old", "ann")
    assert first.proposed == "Refund payment (Amount 40.00 USD)"
    assert 1 >= first.likeness > found[1].likeness > 0


def test_another_tenants_decisions_are_never_shown(engine: Engine) -> None:
    decided(engine, "Refund my June charge", tenant="globex")
    assert shown(engine, opened(engine, "Refund my June charge")) == []
    assert shown(engine, opened(engine, "Refund my June charge", tenant="globex"))


def test_neither_another_agents_nor_its_own_decision_is_shown(engine: Engine) -> None:
    decided(engine, "Refund my June charge", agent="onboarding")
    item = opened(engine, "Refund my June charge")
    with engine.begin() as connection:
        row = {"review_id": item.id, "task_id": item.task_id, "tenant": "acme", "agent": "billing"}
        connection.execute(
            insert(labels),
            {**row, "kind": "x", "ruling": "y", "proposed": {}, "decided": {}, "decided_by": "a"},
        )
    assert shown(engine, item) == []


def test_an_edit_tells_the_arguments_that_came_instead(engine: Engine) -> None:
    words = {"text": "Half", "arguments": {"amount_usd": 20}}
    decided(engine, "Refund my June charge", ruling="edit", decided=words)
    (found,) = shown(engine, opened(engine, "Refund my June charge"))
    assert found.said == "With (Amount 20.00 USD) Half"


@pytest.mark.parametrize("request_text", ["", "   ", "?!", "😀", "\ud800", "the of and"])
def test_a_request_without_words_has_none_like_it(engine: Engine, request_text: str) -> None:
    decided(engine, "Refund my June charge", "the of and")
    item = opened(engine, "x").model_copy(update={"packet": {"request": request_text}})
    assert shown(engine, item) == []
    assert shown(engine, item.model_copy(update={"packet": {"request": ["no text"]}})) == []


def test_five_at_most_found_in_well_under_a_moment(engine: Engine) -> None:
    chance = random.Random(7)  # noqa: S311 nothing here guards anything
    lines = [" ".join(chance.choices(WORDS, k=12)) + f" INV-{number}" for number in range(2000)]
    decided(engine, *lines)
    item = opened(engine, f"{lines[3]} and {lines[4]}")
    shown(engine, item)
    took = []
    for _ in range(5):
        begun = time.thread_time()  # of the processor: other tests may run beside this one
        assert len(shown(engine, item)) <= 5
        took.append(time.thread_time() - begun)
    assert min(took) < 0.02, took


def test_rare_words_count_more_than_common_ones() -> None:
    texts = ["refund invoice a1", "refund invoice", "refund"] + ["refund invoice b2"] * 20
    nearest = rank("refund invoice A1", texts, at_least=0.0)
    assert nearest[0][1] == 0
    assert nearest[0][0] == pytest.approx(1)


@pytest.mark.parametrize(
    "words", ["charge charged charges charging", "invoice invoices", "upgrade upgraded upgrading"]
)
def test_forms_of_a_word_are_one(words: str) -> None:
    assert len(content_words(words)) == 1
