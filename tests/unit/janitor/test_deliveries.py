"""What is told to other systems: once, signed, until it is taken, and never by two at once."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, Row, select, text

from fleet_contracts.errors import Unavailable
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.reviews import ReviewEvent
from fleet_workers.desk_file import WebhookSection
from fleet_workers.janitor.deliver import Announcer, Courier, Send, give_up_stale
from fleet_workers.janitor.sending import webhook_sender
from fleet_workers.janitor.webhook import Receipt
from fleet_workers.retention_policy import RetentionSection
from fleet_workers.store import deliveries, retention, reviews
from fleet_workers.store.deliveries import Delivery
from fleet_workers.store.desk_tables import deliveries as delivery_rows
from fleet_workers.store.engine import open_engine
from fleet_workers.store.reviews import ReviewItem
from support.webhook_receiver import Hook, Receiver, webhook_receiver

_LOAN = timedelta(seconds=30)
BOTH = ("review.opened", "review.decided")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


def hook_to(url: str, **values: Any) -> WebhookSection:
    return WebhookSection.model_validate(
        {"name": "desk", "url": url, "secret": "DESK_SECRET", "events": BOTH, **values}
    )


def opened(engine: Engine, **values: Any) -> ReviewItem:
    fields: dict[str, Any] = {
        "task_id": uuid4(),
        "tenant": "acme",
        "agent": "billing",
        "kind": ReviewKind.APPROVAL,
        "reason": "It needs approval.",
        "packet": {"request": "Give it back!", "customer": "cus_1"},
        **values,
    }
    with engine.begin() as connection:
        return reviews.add(connection, **fields)


def decide(engine: Engine, review_id: UUID) -> None:
    with engine.begin() as connection:
        decision = {"ruling": "approve", "text": "Fine"}
        reviews.record_decision(connection, review_id, decision, decided_by="ann")
        reviews.mark_resumed(connection, review_id)


def rows(engine: Engine) -> list[Row[Any]]:
    with engine.connect() as connection:
        found = connection.execute(select(delivery_rows).order_by(delivery_rows.c.created_at))
        return list(found)


def change(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def announce(engine: Engine, *hooks: WebhookSection) -> int:
    return Announcer(engine, hooks).announce()


def courier_of(
    engine: Engine, hook: WebhookSection
) -> tuple[Courier, Callable[[], AbstractContextManager[Send]]]:
    open_sender = webhook_sender(engine, hook, key=b"k", base_url="https://desk.example/")
    return Courier(engine, f"webhook:{hook.name}", open_sender), open_sender


def deliver(engine: Engine, hook: WebhookSection, *, times: int = 1) -> list[float]:
    courier, open_sender = courier_of(engine, hook)
    with open_sender() as send:
        return [courier.deliver_next(send) for _ in range(times)]


def test_an_opened_review_is_told_with_its_packet_and_a_decided_one_with_its_decision(
    engine: Engine, receiver: Receiver
) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    item = opened(engine)
    assert announce(engine, hook) == 1
    assert deliver(engine, hook, times=2) == [0.0, 1.0]
    decide(engine, item.id)
    assert announce(engine, hook) == 1
    deliver(engine, hook)
    first, second = [ReviewEvent.model_validate_json(each.body) for each in receiver.hooks]
    assert (first.type, first.data.id, first.data.state) == ("review.opened", item.id, "waiting")
    assert first.data.packet == item.packet
    assert first.data.decision is None
    assert first.data.base_url == "https://desk.example"
    assert first.timestamp == item.created_at
    assert (second.type, second.data.state) == ("review.decided", "decided")
    assert second.data.decision is not None
    assert (second.data.decision.ruling, second.data.decision.by) == ("approve", "ann")
    assert [each.delivered_at is not None for each in rows(engine)] == [True, True]


def test_without_packets_only_what_a_list_shows_is_told(engine: Engine, receiver: Receiver) -> None:
    hook = hook_to(receiver.url, packets=False)
    announce(engine, hook)
    opened(engine)
    announce(engine, hook)
    deliver(engine, hook)
    assert b"Give it back" not in receiver.hooks[0].body


def test_each_webhook_gets_what_its_section_asks_for(engine: Engine) -> None:
    hooks = [
        hook_to("http://a.example/", name="all"),
        hook_to("http://b.example/", name="acme", tenants=("acme",)),
        hook_to("http://c.example/", name="onboarding", agents=("onboarding",)),
        hook_to("http://d.example/", name="decided", events=("review.decided",)),
        hook_to("http://e.example/", name="notices", events=()),
    ]
    announce(engine, *hooks)
    opened(engine)
    opened(engine, tenant="globex", agent="onboarding")
    announce(engine, *hooks)
    told = sorted((each.channel, each.tenant) for each in rows(engine))
    assert told == [
        ("webhook:acme", "acme"),
        ("webhook:all", "acme"),
        ("webhook:all", "globex"),
        ("webhook:onboarding", "globex"),
    ]


def test_what_happened_before_the_file_named_a_webhook_is_not_told(engine: Engine) -> None:
    opened(engine)
    hook = hook_to("http://a.example/")
    assert announce(engine, hook) == 0
    assert announce(engine, hook) == 0
    opened(engine)
    assert announce(engine, hook) == 1


def test_a_janitor_that_was_away_tells_what_it_missed_but_nothing_older_than_a_day(
    engine: Engine,
) -> None:
    hook = hook_to("http://a.example/")
    announce(engine, hook)
    missed, ancient = opened(engine), opened(engine)
    change(engine, "UPDATE chore_marks SET at = now() - interval '9 days'")
    change(
        engine,
        "UPDATE reviews SET created_at = now() - interval '5 hours' WHERE id = :id",
        id=missed.id,
    )
    change(
        engine,
        "UPDATE reviews SET created_at = now() - interval '2 days' WHERE id = :id",
        id=ancient.id,
    )
    assert announce(engine, hook) == 1
    assert rows(engine)[0].body["review"] == str(missed.id)


def test_a_clock_that_was_put_back_stops_no_delivery(engine: Engine) -> None:
    hook = hook_to("http://a.example/")
    announce(engine, hook)
    change(engine, "UPDATE chore_marks SET at = now() + interval '9 days'")
    opened(engine)
    assert announce(engine, hook) == 1
    opened(engine)
    assert announce(engine, hook) == 1


def test_a_review_whose_transaction_commits_late_is_told(engine: Engine) -> None:
    # Given a review whose transaction began before a look and commits after it
    hook = hook_to("http://a.example/")
    announce(engine, hook)
    with engine.connect() as late, late.begin():
        reviews.add(
            late,
            task_id=uuid4(),
            tenant="acme",
            agent="billing",
            kind=ReviewKind.APPROVAL,
            reason="r",
            packet={},
        )
        opened(engine)
        assert announce(engine, hook) == 1
    assert announce(engine, hook) == 1
    assert announce(engine, hook) == 0


def test_more_than_one_batch_is_told_whole_and_once(engine: Engine) -> None:
    hook = hook_to("http://a.example/")
    announce(engine, hook)
    change(
        engine,
        "INSERT INTO reviews (id, task_id, tenant, agent, kind, reason, packet) "
        "SELECT gen_random_uuid(), gen_random_uuid(), 'acme', 'billing', 'approval', 'r', '{}' "
        "FROM generate_series(1, 1203)",
    )
    assert [announce(engine, hook) for _ in range(4)] == [500, 500, 203, 0]
    assert len({each.body["review"] for each in rows(engine)}) == 1203


def test_many_janitors_note_each_review_once(engine: Engine) -> None:
    hook = hook_to("http://a.example/")
    announce(engine, hook)
    stop = threading.Event()

    def look() -> None:
        announcer = Announcer(engine, [hook])
        while not stop.is_set():
            announcer.announce()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for each in threads:
        each.start()
    items = [opened(engine) for _ in range(100)]
    stop.set()
    for each in threads:
        each.join()
    announce(engine, hook)
    assert sorted(each.body["review"] for each in rows(engine)) == sorted(
        str(item.id) for item in items
    )


def test_of_one_delivery_no_two_are_under_way_and_each_is_told_once(
    engine: Engine, receiver: Receiver
) -> None:
    # Given forty reviews, a slow receiver, and four janitors
    hook = hook_to(receiver.url)
    announce(engine, hook)
    items = [opened(engine) for _ in range(40)]
    announce(engine, hook)

    def slowly(_: Hook) -> tuple[int, dict[str, str]]:
        time.sleep(0.02)
        return 204, {}

    receiver.answer = slowly
    couriers = [courier_of(engine, hook)[0] for _ in range(4)]
    for each in couriers:
        each.start()
    _wait_for(lambda: all(each.delivered_at for each in rows(engine)))
    for each in couriers:
        each.stop()
    assert set(receiver.most_at_once.values()) == {1}
    assert sorted(each.event["data"]["id"] for each in receiver.hooks) == sorted(
        str(item.id) for item in items
    )


def test_a_receiver_that_fails_is_tried_again_under_the_same_id_with_what_is_true_then(
    engine: Engine, receiver: Receiver
) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    item = opened(engine)
    announce(engine, hook)
    receiver.answer = lambda _: (503, {})
    (pause,) = deliver(engine, hook)
    assert 0 < pause <= 2
    (failed,) = rows(engine)
    assert (failed.tries, failed.last_error) == (1, "answered 503 Service Unavailable")
    assert deliver(engine, hook) == [1.0]  # its wait is not over
    change(engine, "UPDATE deliveries SET try_at = now()")
    decide(engine, item.id)
    receiver.answer = lambda _: (200, {})
    deliver(engine, hook)
    first, second = receiver.hooks
    assert first.id == second.id
    assert (first.event["data"]["state"], second.event["data"]["state"]) == ("waiting", "decided")


def test_a_server_that_asks_for_time_gets_it(engine: Engine, receiver: Receiver) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    opened(engine)
    announce(engine, hook)
    receiver.answer = lambda _: (429, {"Retry-After": "1800"})
    (pause,) = deliver(engine, hook)
    assert pause == 60
    (row,) = rows(engine)
    assert 1800 <= (row.try_at - row.created_at).total_seconds() < 1810


@pytest.mark.parametrize(
    ("status", "headers", "age"),
    [(410, {}, "0 s"), (500, {}, "24 hours"), (503, {"Retry-After": "90000"}, "0 s")],
)
def test_what_nobody_will_take_is_given_up(
    engine: Engine, receiver: Receiver, status: int, headers: dict[str, str], age: str
) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    opened(engine)
    announce(engine, hook)
    change(engine, "UPDATE deliveries SET created_at = now() - CAST(:age AS interval)", age=age)
    receiver.answer = lambda _: (status, headers)
    deliver(engine, hook)
    (row,) = rows(engine)
    assert row.gave_up_at is not None
    assert row.delivered_at is None
    assert str(status) in row.last_error
    change(engine, "UPDATE deliveries SET try_at = now()")
    deliver(engine, hook)
    assert len(receiver.hooks) == 1
    with engine.connect() as connection:
        assert (deliveries.count_open(connection), deliveries.count_given_up(connection)) == (0, 1)


def test_a_janitor_killed_between_sending_and_noting_it_sends_again_under_the_same_id(
    engine: Engine, receiver: Receiver
) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    opened(engine)
    announce(engine, hook)
    courier, open_sender = courier_of(engine, hook)

    class Killed(BaseException):
        pass

    with open_sender() as send:

        def send_and_die(taken: Delivery) -> Receipt:
            send(taken)
            raise Killed

        with pytest.raises(Killed):
            courier.deliver_next(send_and_die)
        # While the loan lasts, nobody sends it; then another one does
        assert courier.deliver_next(send) == 1.0
        change(engine, "UPDATE deliveries SET try_at = now()")
        assert courier.deliver_next(send) == 0.0
    assert len({each.id for each in receiver.hooks}) == 1
    assert len(receiver.hooks) == 2


def test_a_sender_whose_loan_is_over_changes_nothing_any_more(engine: Engine) -> None:
    hook = hook_to("http://a.example/")
    announce(engine, hook)
    opened(engine)
    announce(engine, hook)

    def take() -> Delivery:
        change(engine, "UPDATE deliveries SET try_at = now()")
        with engine.begin() as connection:
            taken = deliveries.take_due(connection, channel="webhook:desk", loan=_LOAN)
        assert taken is not None
        return taken

    slow, quick = take(), take()
    with engine.begin() as connection:
        deliveries.mark_delivered(connection, slow)
        deliveries.give_up(connection, slow, error="late")
        assert not deliveries.mark_failed(connection, slow, error="late", wait=_LOAN)
    (row,) = rows(engine)
    assert (row.delivered_at, row.gave_up_at, row.last_error) == (None, None, None)
    with engine.begin() as connection:
        deliveries.mark_delivered(connection, quick)
    assert rows(engine)[0].delivered_at is not None


def test_a_slow_receiver_delays_no_other(engine: Engine, receiver: Receiver) -> None:
    with webhook_receiver() as slow:
        let_go = threading.Event()
        slow.answer = lambda _: (204, {}) if let_go.wait(20) else (500, {})
        hooks = [hook_to(slow.url, name="slow"), hook_to(receiver.url, name="quick")]
        announce(engine, *hooks)
        for _ in range(5):
            opened(engine)
        announce(engine, *hooks)
        couriers = [courier_of(engine, hook)[0] for hook in hooks]
        for each in couriers:
            each.start()
        _wait_for(lambda: len(receiver.hooks) == 5)
        assert len(slow.hooks) == 1
        let_go.set()
        for each in couriers:
            each.stop()


def test_a_receiver_that_is_away_is_not_asked_for_each_of_many(
    engine: Engine, receiver: Receiver
) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    for _ in range(50):
        opened(engine)
    announce(engine, hook)
    receiver.answer = lambda _: (500, {})
    pauses = deliver(engine, hook, times=8)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    receiver.answer = lambda _: (204, {})
    assert deliver(engine, hook) == [0.0]


def test_a_fault_in_one_delivery_holds_up_no_other(engine: Engine, receiver: Receiver) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    opened(engine)
    announce(engine, hook)
    for body in ("[]", '{"review": "no id"}', "{}", f'{{"review": "{uuid4()}"}}'):
        change(
            engine,
            "INSERT INTO deliveries (id, key, channel, event, body, try_at) VALUES "
            "(gen_random_uuid(), CAST(gen_random_uuid() AS text), 'webhook:desk', 'review.opened', "
            "CAST(:body AS jsonb), now() - interval '1 hour')",
            body=body,
        )
    deliver(engine, hook, times=5)
    assert len(receiver.hooks) == 1
    assert sum(each.last_error is not None for each in rows(engine)) == 4
    gone = [each for each in rows(engine) if each.gave_up_at is not None]
    assert len(gone) == 1  # of the review that is not there: nobody will ever be told of it


def test_a_store_that_is_away_stops_nothing_for_good() -> None:
    nowhere = open_engine(
        "postgresql+psycopg://nobody@127.0.0.1:1/x", connections=1, application="t"
    )
    with pytest.raises(Unavailable):
        announce(nowhere, hook_to("http://a.example/"))
    courier = Courier(nowhere, "webhook:desk", lambda: contextlib.nullcontext(lambda _: None))  # type: ignore[arg-type,return-value]
    courier.start()
    time.sleep(0.2)
    assert courier._thread.is_alive()
    courier.stop()
    assert not courier._thread.is_alive()
    nowhere.dispose()


def test_old_deliveries_are_forgotten_and_those_without_a_channel_given_up(engine: Engine) -> None:
    hook = hook_to("http://a.example/")
    announce(engine, hook)
    for _ in range(3):
        opened(engine)
    announce(engine, hook)
    ids = [each.id for each in rows(engine)]
    change(
        engine,
        "UPDATE deliveries SET delivered_at = now() - interval '31 days', "
        "created_at = now() - interval '31 days' WHERE id IN (:first, :second)",
        first=ids[0],
        second=ids[1],
    )
    change(engine, "INSERT INTO chore_marks VALUES ('notice:x', now(), :id)", id=ids[1])
    change(
        engine,
        "UPDATE deliveries SET created_at = now() - interval '26 hours' WHERE id = :id",
        id=ids[2],
    )
    assert give_up_stale(engine) == 0
    list(retention.delete_old(engine, RetentionSection()))
    left = {each.id: each for each in rows(engine)}
    assert set(left) == {ids[1], ids[2]}
    assert left[ids[2]].gave_up_at is not None


def test_a_packet_of_the_largest_size_arrives_whole(engine: Engine, receiver: Receiver) -> None:
    hook = hook_to(receiver.url)
    announce(engine, hook)
    packet = {"found": ["😀ä\u2400" * 20_000]}
    opened(engine, packet=packet)
    announce(engine, hook)
    deliver(engine, hook)
    assert json.loads(receiver.hooks[0].body)["data"]["packet"] == packet


def _wait_for(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "it did not come to that"
        time.sleep(0.05)
