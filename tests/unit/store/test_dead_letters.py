"""Dead letters are found, counted and grouped, against a real PostgreSQL."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, update

from fleet_workers.store import dead_letters, tables
from fleet_workers.store.dead_letters import DeadLetter, DeadLetterFilter
from support.graveyard import Graveyard


@pytest.fixture
def graveyard(engine: Engine) -> Graveyard:
    return Graveyard.emptied(engine)


def found(
    graveyard: Graveyard, *, settled: bool | None = False, **wanted: object
) -> list[DeadLetter]:
    with graveyard.engine.begin() as connection:
        filled = DeadLetterFilter.model_validate(wanted)
        return dead_letters.find(connection, filled, settled=settled)


def test_each_filter_finds_what_it_names(graveyard: Graveyard) -> None:
    letter = graveyard.dead(
        reason="permanent", error="100% Broken_ pipe at 7", agent="parcels", age=timedelta(hours=2)
    )
    graveyard.dead(reason="policy", error="Refused.", agent="billing", tenant="globex")
    made = letter.created_at - timedelta(hours=2)
    for wanted in (
        {"tenant": "acme"},
        {"agent": "parcels"},
        {"reason": "permanent"},
        {"cause": letter.cause},
        {"error": "broken_"},
        {"error": "100%"},
        {"until": made + timedelta(hours=1)},
        {"since": made - timedelta(minutes=1), "until": made + timedelta(minutes=1)},
        {"task_id": letter.task_id},
        {"tenant": "acme", "agent": "parcels", "error": "PIPE"},
    ):
        assert [each.id for each in found(graveyard, **wanted)] == [letter.id], wanted
    for nothing in (
        {"tenant": "acme", "agent": "billing"},
        {"error": "Brokenx"},
        {"error": "1%n"},
        {"task_id": uuid4()},
        {"until": made - timedelta(minutes=1)},
        {"settled": True},
    ):
        assert found(graveyard, **nothing) == [], nothing


def test_settled_letters_are_shown_where_they_are_asked_for(graveyard: Graveyard) -> None:
    letter, other = graveyard.dead(), graveyard.dead()
    graveyard.replay(letter)
    assert [each.id for each in found(graveyard)] == [other.id]
    assert [each.id for each in found(graveyard, settled=True)] == [letter.id]
    assert {each.id for each in found(graveyard, settled=None)} == {letter.id, other.id}


def test_pages_hold_every_letter_once_newest_first(graveyard: Graveyard) -> None:
    ages = [timedelta(minutes=minute) for minute in (5, 3, 9, 1, 7)]
    letters = {age: graveyard.dead(age=age) for age in ages}
    # Letters of one transaction have the same time
    with graveyard.engine.begin() as connection:
        twins = [
            dead_letters.add(connection, reason="policy", error="x", body="{}") for _ in range(2)
        ]
    seen: list[UUID] = []
    before = None
    while True:
        with graveyard.engine.begin() as connection:
            page = dead_letters.find(connection, DeadLetterFilter(), before=before, limit=2)
        if not page:
            break
        seen += [letter.id for letter in page]
        before = page[-1].id
    assert seen[:2] == sorted((twin.id for twin in twins), reverse=True)
    assert seen[2:] == [letters[age].id for age in sorted(ages)]


def test_like_faults_group_and_old_rows_group_by_reason(graveyard: Graveyard) -> None:
    for number in range(3):
        graveyard.dead(error=f"No order ord_{number}.", agent="parcels")
    graveyard.dead(error="No order ord_9.", agent="frail", tenant="globex")
    old = [graveyard.dead(reason="max_deliveries", error=f"{n} workers") for n in range(2)]
    with graveyard.engine.begin() as connection:
        connection.execute(
            update(tables.dead_letters)
            .where(tables.dead_letters.c.id.in_([letter.id for letter in old]))
            .values(cause="")
        )
        groups = dead_letters.group(connection, DeadLetterFilter())
        mine = dead_letters.group(connection, DeadLetterFilter(tenant="acme"))
    assert [(each.cause, each.letters) for each in groups] == [
        ("attempts_used_up: No order <id>.", 4),
        ("max_deliveries", 2),
    ]
    assert groups[0].agents == ["frail", "parcels"]
    assert [each.letters for each in mine] == [3, 2]
    # A group's cause finds its letters, those of old rows as well
    for each in groups:
        assert len(found(graveyard, cause=each.cause)) == each.letters
    assert {letter.cause for letter in found(graveyard, cause="max_deliveries")} == {
        "max_deliveries"
    }
