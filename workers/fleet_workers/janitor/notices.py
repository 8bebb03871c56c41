"""Tells people that reviews wait or are overdue, and that an agent is degraded, offline or well.

What was told, and up to when, stands with the last notice of each section, behind a mark that one
janitor at a time holds: so it is told once, however many there are and however often they start.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.reviews import Notice, WaitingReviews
from fleet_workers.desk_file import DeskFile, NoticeSection
from fleet_workers.janitor.agent_troubles import (
    DEGRADED_AFTER_SECONDS,
    OFFLINE_AFTER_SECONDS,
    Steadied,
    TroubleFinder,
    Troubles,
)
from fleet_workers.janitor.notice_text import write_notice
from fleet_workers.janitor.quiet_hours import is_quiet
from fleet_workers.review.deliveries import MAIL_CHANNEL, NOTICE, webhook_channel
from fleet_workers.store import chore_marks, deliveries, waiting_reviews
from fleet_workers.store.engine import store_errors

log = structlog.get_logger()

_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SETTLING: Final = timedelta(seconds=5)
"""What was opened within that time counts at the next look: its transaction may commit late."""
_PRESSING_AFTER: Final = timedelta(minutes=5)
"""What is urgent, or offline, waits no longer than that for the next notice of its section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a section has been told: ordinary matters and urgent ones up to when, and troubles."""

    told_to: datetime = _LONG_AGO
    urgent_to: datetime = _LONG_AGO
    degraded: Mapping[str, str] = field(default_factory=dict)
    offline: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """What there is to tell now."""

    waiting: tuple[WaitingReviews, ...] = ()
    degraded: Mapping[str, str] = field(default_factory=dict)
    offline: Mapping[str, str] = field(default_factory=dict)
    well_again: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.waiting or self.degraded or self.offline or self.well_again)


class NoticeClerk:
    """Looks for what people should know; used by one thread. Any number may be at work.

    `now` is the time that counts; without it, the store's. `clock` measures in seconds how long a
    trouble lasts.
    """

    def __init__(
        self,
        engine: Engine,
        desk: DeskFile,
        finder: TroubleFinder,
        *,
        now: Callable[[Connection], datetime] = deliveries.store_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._desk = desk
        self._finder = finder
        self._now = now
        self._degraded, self._offline = (
            {each.name: Steadied(after_seconds=after, clock=clock) for each in desk.notices}
            for after in (DEGRADED_AFTER_SECONDS, OFFLINE_AFTER_SECONDS)
        )

    def work(self) -> int:
        """Look once for each section; gives 0, because the next look has its time.

        Raises:
            Unavailable: The store is away.
        """
        for section in self._desk.notices:
            with store_errors(), self._engine.begin() as connection:
                notice = self._look(connection, section)
            if notice is not None:
                log.info("notice.written", section=section.name, subject=notice.subject)
        return 0

    def _look(self, connection: Connection, section: NoticeSection) -> Notice | None:
        mark = chore_marks.take_mark(connection, f"notices of {section.name}")
        if mark is None:
            return None
        now = self._now(connection)
        seen_to = now - _SETTLING
        told = _told_in(deliveries.get_body(connection, mark.id), seen_to)
        troubles = self._troubles(connection, section, told)
        quiet = is_quiet(section.quiet, now)
        digest = timedelta(minutes=section.digest_minutes)
        ordinary = not quiet and seen_to - told.told_to >= digest
        last_at = max(told.told_to, told.urgent_to)
        pressing = seen_to - last_at >= min(digest, _PRESSING_AFTER)
        if ordinary:
            news = self._news(connection, section, told, troubles, seen_to)
            told = replace(told, told_to=seen_to, urgent_to=seen_to, **_kept(troubles))
        elif pressing:
            news = self._pressing_news(connection, section, told, troubles, seen_to)
            told = replace(told, urgent_to=seen_to, offline=troubles.offline)
        else:
            return None
        if not news:
            return None
        notice = _written(section, news, self._desk.public_url)
        delivery_id = _post(connection, section, notice, told)
        chore_marks.move_mark(
            connection, f"notices of {section.name}", replace(mark, at=now, id=delivery_id)
        )
        return notice

    def _troubles(self, connection: Connection, section: NoticeSection, told: _Told) -> Troubles:
        """What lasts; of what nobody can tell now, that which was told stays."""
        found = self._finder.find(connection, tenants=section.tenants)
        degraded = found.degraded if "degraded" in section.about else {}
        offline = found.offline if "offline" in section.about else {}
        return Troubles(
            degraded=told.degraded
            if degraded is None
            else self._degraded[section.name].steady(degraded, told.degraded),
            offline=self._offline[section.name].steady(offline, told.offline),
        )

    def _news(
        self,
        connection: Connection,
        section: NoticeSection,
        told: _Told,
        troubles: Troubles,
        seen_to: datetime,
    ) -> _News:
        degraded, offline = troubles.degraded or {}, troubles.offline
        before = {**told.degraded, **told.offline}
        return _News(
            waiting=tuple(
                each
                for each in _waiting(connection, section, told, seen_to)
                if each.new or each.newly_overdue
            ),
            degraded=_new_in(degraded, told.degraded),
            offline=_new_in(offline, told.offline),
            well_again=tuple(each for each in before if each not in {**degraded, **offline}),
        )

    def _pressing_news(
        self,
        connection: Connection,
        section: NoticeSection,
        told: _Told,
        troubles: Troubles,
        seen_to: datetime,
    ) -> _News:
        return _News(
            waiting=tuple(
                each for each in _waiting(connection, section, told, seen_to) if each.urgent
            ),
            offline=_new_in(troubles.offline, told.offline),
            well_again=tuple(each for each in told.offline if each not in troubles.offline),
        )


def _waiting(
    connection: Connection, section: NoticeSection, told: _Told, seen_to: datetime
) -> list[WaitingReviews]:
    tells_new, tells_overdue = "waiting" in section.about, "overdue" in section.about
    if not (tells_new or tells_overdue):
        return []
    found = waiting_reviews.waiting_groups(
        connection,
        seen_to=seen_to,
        told_to=told.told_to,
        urgent_to=told.urgent_to,
        tenants=section.tenants,
        groups=section.groups,
    )
    return [
        WaitingReviews(
            tenant=each.tenant,
            group=each.group,
            waiting=each.waiting,
            new=each.new if tells_new else 0,
            newly_overdue=each.newly_overdue if tells_overdue else 0,
            overdue=each.overdue,
            urgent=each.urgent,
            oldest_at=each.oldest_at,
        )
        for each in found
    ]


def _new_in(found: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    return {agent: why for agent, why in found.items() if agent not in told}


def _kept(troubles: Troubles) -> dict[str, Mapping[str, str]]:
    return {"degraded": troubles.degraded or {}, "offline": troubles.offline}


def _written(section: NoticeSection, news: _News, base_url: str | None) -> Notice:
    return write_notice(
        section=section.name,
        waiting=news.waiting,
        degraded=news.degraded,
        offline=news.offline,
        well_again=news.well_again,
        base_url=base_url,
    )


def _post(connection: Connection, section: NoticeSection, notice: Notice, told: _Told) -> UUID:
    """Note a delivery for each channel of the section; gives the id of one, which holds the state.

    Two janitors that both think that it is theirs to tell would write the same key.
    """
    state = {
        "told_to": told.told_to.isoformat(),
        "urgent_to": told.urgent_to.isoformat(),
        "degraded": dict(told.degraded),
        "offline": dict(told.offline),
    }
    body: dict[str, Any] = {"notice": notice.model_dump(mode="json"), "state": state}
    ids: list[UUID] = []
    for channel, more in _channels(section, notice):
        ids.append(uuid4())
        deliveries.add(
            connection,
            delivery_id=ids[-1],
            key=f"{NOTICE}:{section.name}:{channel}:{told.told_to}:{told.urgent_to}",
            channel=channel,
            event=NOTICE,
            body={**body, **more},
        )
    return ids[0]


def _channels(section: NoticeSection, notice: Notice) -> Sequence[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    if section.to:
        mail = {"to": list(section.to), "subject": notice.subject, "text": notice.text}
        found.append((MAIL_CHANNEL, mail))
    if section.webhook is not None:
        found.append((webhook_channel(section.webhook), {}))
    return found


def _told_in(body: Mapping[str, Any] | None, seen_to: datetime) -> _Told:
    """What the last notice says was told; all is new where there is none, or it is not readable.

    The same where it lies ahead: it was written before the clock was put back.
    """
    try:
        state = (body or {})["state"]
        told = _Told(
            told_to=datetime.fromisoformat(state["told_to"]),
            urgent_to=datetime.fromisoformat(state["urgent_to"]),
            degraded=dict(state["degraded"]),
            offline=dict(state["offline"]),
        )
        is_ahead = max(told.told_to, told.urgent_to) > seen_to
    except (KeyError, TypeError, ValueError):
        return _Told()
    return replace(told, told_to=_LONG_AGO, urgent_to=_LONG_AGO) if is_ahead else told
