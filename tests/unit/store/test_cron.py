"""When a schedule comes: texts that are no cron, clocks that jump, and times found from behind."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_workers.store.cron import NotACron, NotAZone, check_cron, coming, latest, next_after

BERLIN, LORD_HOWE, AZORES = "Europe/Berlin", "Australia/Lord_Howe", "Atlantic/Azores"


def on_the_wall(cron: str, zone: str, start: str, number: int) -> list[str]:
    """The next times by the zone's clocks."""
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    times = coming(cron, zone, moment, number=number)
    return [each.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for each in times]


@pytest.mark.parametrize(
    "cron",
    [
        "", "* * * *", "0 * * * * *", "@daily", "60 * * * *", "*/0 * * * *", "5-1 * * * *",
        "a b c d e", "L * * * *", "* * MON#2/3 * *", "* * * * MON#2/3", "* * * * 1,2#3/2",
        "٣ * * * *", "0 3 30 2 *", "* * * * * ; DROP TABLE tasks", "*" * 300, "\0 * * * *",
        "0 0 */100,1 2 MON#5",
    ],
)  # fmt: skip
def test_what_never_comes_or_is_no_cron_is_refused(cron: str) -> None:
    with pytest.raises(NotACron, match="give"):
        check_cron(cron, "UTC")


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../UTC", "/etc/passwd", "Europe", "a\0b"])
def test_a_zone_that_is_not_known_is_refused(zone: str) -> None:
    with pytest.raises(NotAZone, match="Europe/Berlin"):
        check_cron("* * * * *", zone)


@given(st.text(max_size=40) | st.from_regex(r"([0-9*/,\-#LW]{1,5} ){4}[0-9*/,\-#LW]{1,5}"))
@settings(max_examples=60, deadline=None)
def test_no_text_breaks_it(cron: str) -> None:
    try:
        check_cron(cron, "UTC")
    except NotACron:
        return
    assert next_after(cron, "UTC", datetime.now(UTC)) is not None


def test_a_time_that_the_clocks_leave_out_comes_as_soon_as_they_go_on() -> None:
    assert on_the_wall("30 2 * * *", BERLIN, "2027-03-27T12:00", 2) == [
        "2027-03-28T03:00+02:00",
        "2027-03-29T02:30+02:00",
    ]


def test_a_time_that_comes_twice_counts_once() -> None:
    assert on_the_wall("30 2 * * *", BERLIN, "2026-10-24T12:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]
    # Whoever asks within the second of the two hours is not given the time of the first
    second = datetime(2026, 10, 25, 2, 15, tzinfo=ZoneInfo(BERLIN), fold=1)
    following = next_after("30 2 * * *", BERLIN, second)
    assert following == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_what_comes_every_quarter_goes_by_the_time_that_passes() -> None:
    start = datetime(2026, 10, 24, 23, 59, tzinfo=UTC)
    times = coming("*/15 * * * *", BERLIN, start, number=16)
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(minutes=15)}


_crons = st.builds(
    "{} {} {} * {}".format,
    st.sampled_from(["0", "30", "*/7", "*", "15,45"]),
    st.sampled_from(["*", "2", "1-3", "*/5", "23"]),
    st.sampled_from(["*", "28", "L", "25-31"]),
    st.sampled_from(["*", "SUN", "1-5"]),
)
_change_of_clocks = st.sampled_from(
    [
        datetime(2026, 10, 25, 1, tzinfo=UTC),
        datetime(2027, 3, 28, 1, tzinfo=UTC),
        datetime(2027, 4, 3, 15, tzinfo=UTC),
    ]
)


@given(
    cron=_crons,
    zone=st.sampled_from([BERLIN, LORD_HOWE, AZORES, "UTC"]),
    until=st.builds(
        lambda change, minutes: change + timedelta(minutes=minutes),
        _change_of_clocks,
        st.integers(-3000, 3000),
    ),
    back=st.integers(0, 1500),
    number=st.sampled_from([1, 5, 100]),
)
@settings(max_examples=60, deadline=None)
def test_the_latest_times_are_those_that_come_forwards(
    cron: str, zone: str, until: datetime, back: int, number: int
) -> None:
    since = until - timedelta(minutes=back)
    forwards = []
    found = next_after(cron, zone, since - timedelta(seconds=1))
    while found is not None and found <= until:
        forwards.append(found)
        found = next_after(cron, zone, found)
    assert latest(cron, zone, since=since, until=until, number=number) == forwards[-number:]


def test_the_latest_times_of_a_long_outage_are_found_at_once() -> None:
    until = datetime(2027, 1, 1, tzinfo=UTC)
    since = until - timedelta(days=3650)
    found = latest("* * * * *", BERLIN, since=since, until=until, number=100)
    assert (len(found), found[-1]) == (100, until)
    assert latest("0 0 29 2 *", BERLIN, since=since, until=until, number=1) == [
        datetime(2024, 2, 28, 23, tzinfo=UTC)
    ]
