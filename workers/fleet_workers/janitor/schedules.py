"""What comes by the clock: tasks of schedules. Any number of janitors may see to it at once."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import FleetError
from fleet_workers.agents import AgentCatalogue
from fleet_workers.janitor.service import Chore
from fleet_workers.store import cron, debounce, schedule_runs
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.store.schedule_models import Missed, Schedule

log = structlog.get_logger()

_BATCH = 20  # schedules a transaction: short, and other janitors get their share
_LATE = timedelta(minutes=1)  # what comes later than this was missed
_MOST_MADE_UP = 100
_MENDED_EVERY = timedelta(minutes=1)
_TIDIED_EVERY = timedelta(minutes=1)
_KEYS_AT_ONCE = 1000


class ScheduleClerk:
    """Goes by the store's clock: that of the janitor's machine does not count.

    `send` takes letters after their transaction has committed and never raises.
    """

    def __init__(
        self,
        engine: Engine,
        catalogue: AgentCatalogue,
        *,
        send: Callable[[Sequence[Letter]], None],
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._send = send

    def work(self) -> int:
        """Fire what is due; gives the number of schedules.

        Their rows are locked until the tasks are written with them: a janitor that dies half-way
        has done nothing, and another does it.

        Raises:
            Unavailable: The store is away.
        """
        letters: list[Letter] = []
        with store_errors(), self._engine.begin() as connection:
            due = schedule_runs.lock_due(connection, limit=_BATCH)
            for schedule, now in due:
                letters += self._fire(connection, schedule, now)
        self._send(letters)
        return len(due)

    def mend_times(self) -> int:
        """Reckon again what was reckoned before the store's clock was put back; gives the number.

        A time that comes a second time by that finds its task there.

        Raises:
            Unavailable: The store is away.
        """
        with store_errors(), self._engine.begin() as connection:
            found = schedule_runs.lock_misreckoned(connection, limit=_BATCH)
            for schedule, now in found:
                next_at = cron.next_after(schedule.cron, schedule.zone, now)
                schedule_runs.go_on(connection, schedule, next_at=next_at)
        if found:
            log.warning("schedules.clock_put_back", schedules=len(found))
        return len(found)

    def tidy_keys(self) -> int:
        """Forget debounce keys under which nothing came for an hour; gives the number.

        Raises:
            Unavailable: The store is away.
        """
        with store_errors(), self._engine.begin() as connection:
            return debounce.tidy(connection, limit=_KEYS_AT_ONCE)

    def _fire(self, connection: Connection, schedule: Schedule, now: datetime) -> list[Letter]:
        letters: list[Letter] = []
        last: tuple[datetime, UUID] | None = None
        error: str | None = None
        next_at: datetime | None = None
        try:
            with connection.begin_nested():
                for time in _times(schedule, now):
                    self._check_agent(schedule)
                    fired = schedule_runs.fire(connection, schedule, time)
                    letters += fired.letters
                    last = (time, fired.task_id)
            next_at = cron.next_after(schedule.cron, schedule.zone, now)
        except FleetError as fault:
            letters, last, error = [], None, str(fault)
            log.warning("schedule.failed", schedule=str(schedule.id), error=error)
            next_at = _next_or_none(schedule, now)
        schedule_runs.go_on(connection, schedule, next_at=next_at, fired=last, error=error)
        if last is not None:
            log.info("schedule.fired", schedule=str(schedule.id), tasks=len(letters))
        return letters

    def _check_agent(self, schedule: Schedule) -> None:
        if schedule.agent != AUTO_AGENT:
            self._catalogue.get(schedule.agent)


def clock_chores(clerk: ScheduleClerk, *, every: timedelta) -> list[Chore]:
    """What a janitor does by the clock."""
    return [
        Chore("schedules", clerk.work, every=every),
        Chore("schedule_times", clerk.mend_times, every=_MENDED_EVERY),
        Chore("debounce_keys", clerk.tidy_keys, every=_TIDIED_EVERY),
    ]


def _times(schedule: Schedule, now: datetime) -> list[datetime]:
    """The times that are to come to tasks, by what the schedule says of missed ones."""
    if schedule.next_at is None:
        return []
    number = 1 if schedule.missed is Missed.ONCE else _MOST_MADE_UP
    found = cron.latest(
        schedule.cron, schedule.zone, since=schedule.next_at, until=now, number=number
    )
    if schedule.missed is Missed.SKIP:
        return [time for time in found if now - time <= _LATE]
    return found


def _next_or_none(schedule: Schedule, now: datetime) -> datetime | None:
    """Nothing comes of a row that was broken from outside until somebody changes it."""
    try:
        return cron.next_after(schedule.cron, schedule.zone, now)
    except FleetError:
        return None
