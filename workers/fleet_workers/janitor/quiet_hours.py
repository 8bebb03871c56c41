"""Tells whether a moment lies in somebody's quiet hours."""

from datetime import datetime
from zoneinfo import ZoneInfo

from fleet_workers.desk_file import QuietHours


def is_quiet(hours: QuietHours | None, now: datetime) -> bool:
    """Whether the clocks of the zone stand between start and end; end before start is overnight.

    Clocks on the wall count: of an hour that comes twice both are quiet, and one that is left out
    ends nothing. Equal start and end are no hours at all.
    """
    if hours is None:
        return False
    clock = now.astimezone(ZoneInfo(hours.zone)).time().replace(tzinfo=None)
    if hours.start <= hours.end:
        return hours.start <= clock < hours.end
    return clock >= hours.start or clock < hours.end
