"""Puts values on pages into words: times, spans, money, JSON."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_NOTHING = "\u2013"
_LONGEST_EXCERPT = 20_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_HOURS_IN_HOURS = 48  # up to two days, hours tell more than days


def iso_time(moment: datetime | None) -> str:
    """A time in UTC to the second (RFC 3339), or a dash."""
    if moment is None:
        return _NOTHING
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_words(moment: datetime | None) -> str:
    """A time in UTC to the minute, as people write it, or a dash."""
    if moment is None:
        return _NOTHING
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def plain_words(name: str) -> str:
    """A name in snake case as words."""
    return str(name).replace("_", " ")


def pretty_json(value: object) -> str:
    """JSON as a person reads it; a text stands as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def excerpt(value: object) -> str:
    """As `pretty_json`, its first 20,000 characters, with a word where there are more."""
    text = pretty_json(value)
    more = len(text) - _LONGEST_EXCERPT
    return text if more <= 0 else f"{text[:_LONGEST_EXCERPT]}\n\u2026 {more:,} more characters"


def duration_words(span: timedelta | None) -> str:
    """A time span in the unit that fits: 240 ms, 1.8 s, 3 min 5 s, 4 h 10 min; a dash for none."""
    if span is None:
        return _NOTHING
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    return _long_span(round(seconds))


def due_words(moment: datetime, now: datetime) -> str:
    """How long until something is due, or how long it is overdue: in 25 min, 2 h 5 min overdue."""
    seconds = round((moment - now).total_seconds())
    if abs(seconds) < _MINUTE:
        return "now" if seconds >= 0 else "just overdue"
    span = _coarse_span(abs(seconds))
    return f"in {span}" if seconds > 0 else f"{span} overdue"


def money_words(amount: Decimal | None) -> str:
    """US dollars with as many places as say something: $12.30, $0.0042; a dash for none."""
    if amount is None:
        return _NOTHING
    places = 2 if amount == 0 or abs(amount) >= 1 else 4
    if 0 < abs(amount) < Decimal("0.001"):
        places = 6
    return f"${amount:,.{places}f}"


def _long_span(seconds: int) -> str:
    minutes, rest = divmod(seconds, _MINUTE)
    return f"{minutes} min {rest} s" if seconds < _HOUR else _coarse_span(seconds)


def _coarse_span(seconds: int) -> str:
    """A span of a minute or more in its two largest units."""
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < _HOURS_IN_HOURS * _HOUR:
        hours, minutes = seconds // _HOUR, seconds % _HOUR // _MINUTE
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = seconds // _DAY, seconds % _DAY // _HOUR
    return f"{days} d {hours} h" if hours else f"{days} d"
