"""Webhooks are told of what they ask for: each change once, from the first look on."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text

from fleet_contracts.envelope import build_envelope
from fleet_contracts.events import TaskEvent
from fleet_workers.desk_file import WebhookSection
from fleet_workers.janitor.event_clerk import EventClerk
from fleet_workers.janitor.sending import webhook_sender
from fleet_workers.store import deliveries, task_events, tasks
from fleet_workers.store.accounts import add_tenant
from fleet_workers.store.desk_tables import deliveries as delivery_rows
from support.webhook_receiver import webhook_receiver

_LOAN = timedelta(seconds=30)


def hook_to(url: str = "http://127.0.0.1:9/", **values: Any) -> WebhookSection:
    return WebhookSection.model_validate(
        {
            "name": "shop",
            "url": url,
            "secret": "SHOP_SECRET",
            "events": ("task.cancelled", "task.queued"),
            **values,
        }
    )


def taken_in(engine: Engine, *, tenant: str = "acme", agent: str = "billing") -> UUID:
    envelope = build_envelope(tenant=tenant, agent=agent, input="My secret words", customer="cus_1")
    with engine.begin() as connection:
        tasks.accept(connection, envelope, traceparent=None)
    return envelope.id


def cancel(engine: Engine, task_id: UUID) -> None:
    with engine.begin() as connection:
        assert tasks.cancel(connection, task_id, tenant="acme")


def noted(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(
            select(delivery_rows).order_by(delivery_rows.c.body["seq"].as_integer())
        )
        return [(row.channel, row.event, row.body["task"]) for row in rows]


def work(*clerks: EventClerk) -> None:
    for clerk in clerks:
        while clerk.work():
            pass


@pytest.fixture
def clerk(engine: Engine) -> EventClerk:
    with engine.begin() as connection:
        for tenant in ("acme", "globex"):
            add_tenant(connection, tenant)
    found = EventClerk(engine, [hook_to()])
    work(found)
    return found


def test_what_happened_before_the_webhook_was_there_is_not_told(engine: Engine) -> None:
    taken_in(engine)
    clerk = EventClerk(engine, [hook_to()])
    work(clerk)
    assert noted(engine) == []
    task_id = taken_in(engine)
    work(clerk)
    assert noted(engine) == [("webhook:shop", "task.queued", str(task_id))]


def test_only_what_is_asked_for_is_told(engine: Engine, clerk: EventClerk) -> None:
    narrow = hook_to(name="narrow", events=("task.cancelled",), tenants=("acme",))
    reviews = hook_to(name="reviews", events=("review.opened",))
    other = EventClerk(
        engine, [narrow, hook_to(name="onboarding", agents=("onboarding",)), reviews]
    )
    work(other)
    mine, foreign = taken_in(engine), taken_in(engine, tenant="globex")
    cancel(engine, mine)
    work(other)
    assert noted(engine) == [("webhook:narrow", "task.cancelled", str(mine))]
    work(clerk)
    assert [each for each in noted(engine) if each[0] == "webhook:shop"] == [
        ("webhook:shop", "task.queued", str(mine)),
        ("webhook:shop", "task.queued", str(foreign)),
        ("webhook:shop", "task.cancelled", str(mine)),
    ]


def test_many_clerks_note_each_change_once(engine: Engine, clerk: EventClerk) -> None:
    known = {str(taken_in(engine)) for _ in range(30)}
    threads = [
        threading.Thread(target=work, args=(EventClerk(engine, [hook_to()]),)) for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    work(clerk)
    found = noted(engine)
    assert len(found) == len(known)
    assert {task for _, _, task in found} == known


def test_what_is_a_day_old_is_not_told(engine: Engine, clerk: EventClerk) -> None:
    taken_in(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE task_events SET at = at - interval '25 hours'"))
    work(clerk)
    assert noted(engine) == []


@pytest.mark.parametrize("packets", [True, False])
def test_the_task_goes_along_only_where_words_may_leave(
    engine: Engine, clerk: EventClerk, *, packets: bool
) -> None:
    task_id = taken_in(engine)
    work(clerk)
    with engine.begin() as connection:
        taken = deliveries.take_due(connection, channel="webhook:shop", loan=_LOAN)
    assert taken is not None
    with webhook_receiver() as receiver:
        hook = hook_to(receiver.url, packets=packets)
        with webhook_sender(engine, hook, key=b"k", base_url=None)() as send:
            assert send(taken).is_taken
    event = TaskEvent.model_validate_json(receiver.hooks[0].body)
    assert (event.type, event.data.task_id, event.data.state) == ("task.queued", task_id, "queued")
    assert (event.data.task is not None) is packets
    assert (b"cus_1" in receiver.hooks[0].body) is packets
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM task_events"))
    with webhook_sender(engine, hook, key=b"k", base_url=None)() as send:
        assert send(taken).is_final


def test_a_mark_is_lent_to_one_and_moved_by_who_has_it(engine: Engine, clerk: EventClerk) -> None:
    taken_in(engine)
    work(clerk)
    loan = timedelta(seconds=30)
    with engine.begin() as connection:
        assert task_events.borrow_mark(connection, "reader", loan=loan) == 1
        assert task_events.borrow_mark(connection, "reader", loan=loan) is None
        task_events.return_mark(connection, "reader", taken=1, moved_to=5)
    with engine.begin() as connection:
        assert task_events.borrow_mark(connection, "reader", loan=loan) == 5
        task_events.return_mark(connection, "reader", taken=1, moved_to=9)  # too late
        assert task_events.read_mark(connection, "reader") == 5
    with engine.begin() as connection:
        connection.execute(text("UPDATE event_marks SET lent_until = now() + interval '1 day'"))
        assert task_events.borrow_mark(connection, "reader", loan=loan) == 5  # the clock was wrong
