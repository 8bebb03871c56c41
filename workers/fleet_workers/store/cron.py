"""When a schedule comes: the five fields of cron, in a time zone.

Rules are those of Debian's cron, as in the library cronsim: a time that the clocks leave out in
spring comes as soon as they go on, one that comes twice in autumn counts once, and what comes every
hour or more often goes by the time that has really passed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from fleet_contracts.errors import InvalidInput

_FIELDS = 5
_SECOND = timedelta(seconds=1)
_LONGEST_TEXT = 200


class NotACron(InvalidInput):
    """The text is no cron expression, or names no time that ever comes."""

    code = "not_a_cron"


class NotAZone(InvalidInput):
    """No time zone of that name is known here."""

    code = "not_a_zone"


def check_cron(cron: str, zone: str) -> None:
    """Make sure that a schedule has times.

    Raises:
        NotACron: It has none, or cannot be read.
        NotAZone: The zone is not known.
    """
    if next_after(cron, zone, datetime.now(UTC)) is None:
        raise NotACron(f"{cron!r} never comes: give a day that its months have.")


def next_after(cron: str, zone: str, moment: datetime) -> datetime | None:
    """The first time after a moment, in UTC; None where there is none in fifty years.

    Raises:
        NotACron: The text cannot be read.
        NotAZone: The zone is not known.
    """
    return next(_from(cron, zone, moment), None)


def coming(cron: str, zone: str, moment: datetime, *, number: int) -> list[datetime]:
    """The next times after a moment, in UTC. Errors as in `next_after`."""
    return list(islice(_from(cron, zone, moment), number))


def latest(
    cron: str, zone: str, *, since: datetime, until: datetime, number: int
) -> list[datetime]:
    """The last times from `since` to `until`, both included, the oldest first, in UTC.

    It costs no more for a long time than for a short one. Errors as in `next_after`.
    """
    if since > until:
        return []
    # Going back may leave out what comes twice; going on from there finds all.
    local = until.astimezone(_zone(zone)) + _SECOND
    backwards = islice(_simulated(cron, local, reverse=True), number + 1)
    start = min((each.astimezone(UTC) for each in backwards), default=since)
    start = max(start, since) - _SECOND
    found: list[datetime] = []
    for each in _from(cron, zone, start):
        if each > until:
            break
        found = [*found[-number + 1 :], each] if number > 1 else [each]
    return found


def _from(cron: str, zone: str, moment: datetime) -> Iterator[datetime]:
    """Every time after a moment. Of an hour that comes twice, the library may give one before."""
    last = moment.astimezone(UTC)
    for each in _simulated(cron, moment.astimezone(_zone(zone))):
        found = each.astimezone(UTC)
        if found > last:
            last = found
            yield found


def _simulated(cron: str, local: datetime, *, reverse: bool = False) -> CronSim:
    fields = cron.split()
    if len(cron) > _LONGEST_TEXT or len(fields) != _FIELDS:
        raise NotACron(
            f"{cron[:_LONGEST_TEXT]!r} is no cron expression: give five fields, minute, hour, day "
            "of the month, month and day of the week, such as 30 8 * * MON-FRI."
        )
    try:
        return CronSim(cron, local, reverse)
    # What it does not expect in a field it meets in other ways than by its own error.
    except (CronSimError, AssertionError, AttributeError, TypeError, ValueError) as error:
        what = str(error).lower() if isinstance(error, CronSimError) else "a field cannot be read"
        raise NotACron(
            f"{cron!r} is no cron expression ({what}): give five fields such as 30 8 * * MON-FRI."
        ) from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise NotAZone(f"{name!r} is no time zone: give one such as Europe/Berlin.") from error
