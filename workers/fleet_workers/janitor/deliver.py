"""Tells other systems what happened to reviews: notes it, and sends what is due.

Who notes it: not the workers. A review is opened in a transaction of its worker, and decided in
one of the web process; an INSERT there would make each of them depend on the desk's file, and be
lost wherever one process has an older file. Instead the janitor, which sends anyway, goes through
the reviews that were opened or decided since it last looked, by an index of their times. It looks
again at the last two minutes each time, because a transaction that began earlier may commit later;
the unique key makes that harmless. It costs workers nothing, and janitors 4 ms a second.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Final

import structlog
from sqlalchemy import Engine

from fleet_contracts.errors import Unavailable
from fleet_workers.desk_file import WebhookSection
from fleet_workers.janitor.webhook import Receipt
from fleet_workers.review.deliveries import webhook_channel
from fleet_workers.store import chore_marks, deliveries
from fleet_workers.store.deliveries import MAX_AGE, Delivery, ReviewEventName
from fleet_workers.store.engine import store_errors
from fleet_workers.telemetry.meters import DELIVERIES, bounded

log = structlog.get_logger()

Send = Callable[[Delivery], Receipt]
"""Sends a delivery once, over one channel."""

_MARK: Final = "deliveries of reviews"
_BATCH: Final = 500
_LATE_COMMITS: Final = timedelta(minutes=2)
"""No transaction of the fleet is open that long: its statements time out after 15 s."""
HTTP_LOAN: Final = timedelta(seconds=30)
"""How long a courier has a delivery for itself: three times what a webhook may take."""
MAIL_LOAN: Final = timedelta(minutes=10)
"""As above: SMTP is a conversation, and its time-out is for each of its lines."""
_LOOK_EVERY_SECONDS: Final = 1.0
_BASE_SECONDS: Final = 5.0
_CAP_SECONDS: Final = 3600.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_EVENTS: Final[tuple[ReviewEventName, ...]] = ("review.opened", "review.decided")


class Announcer:
    """Notes for each webhook what it wants to know of reviews. Any number may be at work.

    Nothing is told that happened before the first look, or more than a day ago.
    """

    def __init__(self, engine: Engine, webhooks: Sequence[WebhookSection]) -> None:
        self._engine = engine
        self._wanted = [
            (event, hook) for hook in webhooks for event in _EVENTS if event in hook.events
        ]

    def announce(self) -> int:
        """Note what is new; gives how many deliveries that are.

        Raises:
            Unavailable: The store is away.
        """
        if not self._wanted:
            return 0
        with store_errors(), self._engine.begin() as connection:
            mark = chore_marks.take_mark(connection, _MARK)
            if mark is None:
                return 0
            now = deliveries.store_time(connection)
            settled = now - _LATE_COMMITS
            begun = mark.at if mark.at <= now else settled  # else the clock was put back
            since = max(begun, now - MAX_AGE)
            noted = [
                deliveries.note_reviews(
                    connection,
                    event,
                    channel=webhook_channel(hook.name),
                    since=since,
                    tenants=hook.tenants,
                    agents=hook.agents,
                    limit=_BATCH,
                )
                for event, hook in self._wanted
            ]
            if max(noted) < _BATCH:
                chore_marks.move_mark(connection, _MARK, replace(mark, at=max(begun, settled)))
        return sum(noted)


def give_up_stale(engine: Engine) -> int:
    """Give up what nobody sends any more; gives 0, because once in a while is enough.

    Raises:
        Unavailable: The store is away.
    """
    with store_errors(), engine.begin() as connection:
        stale = deliveries.give_up_stale(connection)
    if stale:
        log.warning("delivery.given_up", deliveries=stale, reason="no channel takes them")
    return 0


class Courier:
    """Sends what is due on one channel, in a thread of its own: a slow receiver delays no other.

    While a channel fails, one delivery at a time tries it, less and less often: a receiver that is
    away is not asked for each of ten thousand. Of the same delivery, no two are under way at once,
    however many janitors there are.
    """

    def __init__(
        self,
        engine: Engine,
        channel: str,
        open_sender: Callable[[], AbstractContextManager[Send]],
        *,
        loan: timedelta = HTTP_LOAN,
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._open_sender = open_sender
        self._loan = loan
        self._failed_in_a_row = 0
        self._stopped = Event()
        self._thread = Thread(target=self._run, name=f"deliveries {channel}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def let_go(self) -> None:
        """Begin no other delivery; what is not sent stays for the next janitor."""
        self._stopped.set()

    def stop(self) -> None:
        """End after the delivery that is under way."""
        self.let_go()
        self._thread.join(timeout=HTTP_LOAN.total_seconds())

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._open_sender() as send:
                    self._work(send)
            except Exception:
                log.exception("delivery.broke", channel=self._channel)
                self._stopped.wait(_LONGEST_PAUSE_SECONDS)

    def _work(self, send: Send) -> None:
        while not self._stopped.is_set():
            try:
                pause_seconds = self.deliver_next(send)
            except Unavailable as error:
                log.warning("delivery.store_unavailable", channel=self._channel, error=str(error))
                pause_seconds = _LOOK_EVERY_SECONDS
            self._stopped.wait(pause_seconds)

    def deliver_next(self, send: Send) -> float:
        """Send the next delivery that is due; gives the seconds until the next look.

        Raises:
            Unavailable: The store is away. What was sent meanwhile is sent again, under its id.
        """
        with store_errors(), self._engine.begin() as connection:
            taken = deliveries.take_due(connection, channel=self._channel, loan=self._loan)
        if taken is None:
            return _LOOK_EVERY_SECONDS
        receipt = self._sent(send, taken)
        with store_errors(), self._engine.begin() as connection:
            if receipt.is_taken:
                deliveries.mark_delivered(connection, taken)
            elif receipt.is_final:
                deliveries.give_up(connection, taken, error=receipt.error)
        if receipt.is_taken or receipt.is_final:
            self._failed_in_a_row = 0
            _note(taken, receipt, given_up=receipt.is_final)
            return 0.0
        return self._failed(taken, receipt)

    def _sent(self, send: Send, taken: Delivery) -> Receipt:
        """A fault of ours in one delivery is that delivery's failure, and holds up no other."""
        begun = time.monotonic()
        try:
            return send(taken)
        except Unavailable:
            raise
        except Exception as error:
            log.exception("delivery.broke", delivery=str(taken.id), event_name=taken.event)
            return Receipt(is_taken=False, error=f"{type(error).__name__}: {error}")
        finally:
            took = time.monotonic() - begun
            if took > self._loan.total_seconds():
                log.warning("delivery.slow", delivery=str(taken.id), seconds=round(took, 1))

    def _failed(self, taken: Delivery, receipt: Receipt) -> float:
        wait = _wait_seconds(taken.tries, receipt.retry_after_seconds)
        with store_errors(), self._engine.begin() as connection:
            given_up = deliveries.mark_failed(
                connection, taken, error=receipt.error, wait=timedelta(seconds=wait)
            )
        _note(taken, receipt, given_up=given_up)
        self._failed_in_a_row += 1
        pause = min(_LONGEST_PAUSE_SECONDS, 2.0 ** min(self._failed_in_a_row, 10))
        return max(pause / 2, min(_LONGEST_PAUSE_SECONDS, receipt.retry_after_seconds or 0.0))


def _wait_seconds(tries: int, retry_after_seconds: float | None) -> float:
    """Full jitter (Brooker, "Exponential Backoff And Jitter") on top of what was asked for."""
    cap = min(_CAP_SECONDS, _BASE_SECONDS * 2.0 ** min(tries - 1, 20))
    jitter = random.uniform(0, cap)  # noqa: S311 jitter
    asked = min(retry_after_seconds or 0.0, MAX_AGE.total_seconds() * 2)
    return asked + jitter


def _note(taken: Delivery, receipt: Receipt, *, given_up: bool) -> None:
    facts = {"delivery": str(taken.id), "channel": taken.channel, "tries": taken.tries}
    age = (datetime.now(UTC) - taken.created_at).total_seconds()
    result = "taken" if receipt.is_taken else "given_up" if given_up else "failed"
    DELIVERIES.labels(bounded("channel", taken.channel), result).inc()
    if receipt.is_taken:
        log.info("delivery.taken", event_name=taken.event, seconds=round(age, 1), **facts)
    elif given_up:
        log.error("delivery.given_up", event_name=taken.event, error=receipt.error, **facts)
    else:
        log.warning("delivery.failed", event_name=taken.event, error=receipt.error, **facts)
