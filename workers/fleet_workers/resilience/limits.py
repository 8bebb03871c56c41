"""Rate limits that all workers share. Where Redis is away, each process keeps to its share."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from limits import RateLimitItem, parse_many

from fleet_contracts.errors import ConfigurationError
from fleet_workers.resilience.redis_link import RedisAway, RedisLink, Script
from fleet_workers.resilience.windows import Span, Windows

Rate = RateLimitItem
"""So many in so long, as the library `limits` has it."""

MOST_IN_A_WINDOW: Final = 100_000
"""A window keeps the time of each call: 2 MB in Redis for this many."""

_PREFIX: Final = "fleet:limits"
_PROCESSES_KEY: Final = f"{_PREFIX}:processes"
_UNKNOWN_PROCESSES: Final = 4  # assumed while Redis has not told yet
_REMEDY: Final = "write an amount and a span of time, such as 10/second, 100/minute or 5000/day."

# KEYS: the processes, then a list of times, newest first, for each limit: the layout of `limits`.
# ARGV: this process, then amount and seconds of each limit. Gives the wait in microseconds and the
# number of processes that took something within the last minute. The clock is the server's.
_TAKE_ALL: Final = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60)
redis.call('EXPIRE', KEYS[1], 60)
local processes = redis.call('ZCARD', KEYS[1])
local wait = 0
for i = 2, #KEYS do
    local amount, seconds = tonumber(ARGV[2 * i - 2]), tonumber(ARGV[2 * i - 1])
    local oldest = redis.call('LINDEX', KEYS[i], amount - 1)
    if oldest and tonumber(oldest) + seconds >= now then
        wait = math.max(wait, math.min(tonumber(oldest) + seconds - now, seconds) + 0.001)
    end
end
if wait > 0 then
    return {math.ceil(wait * 1000000), processes}
end
for i = 2, #KEYS do
    redis.call('LPUSH', KEYS[i], string.format('%.6f', now))
    redis.call('LTRIM', KEYS[i], 0, tonumber(ARGV[2 * i - 2]) - 1)
    redis.call('EXPIRE', KEYS[i], tonumber(ARGV[2 * i - 1]) + 1)
end
return {0, processes}
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A rate, and what it counts: calls with the same `scope`.

    A scope is words from the general to the particular, such as `("tool", "refund")` or
    `("tool", "refund", "tenant", "acme")`.
    """

    scope: tuple[str, ...]
    rate: Rate

    @property
    def key(self) -> str:
        """One text a scope and rate; no two of them have the same."""
        return self.rate.key_for(*(quote(word, safe="") for word in self.scope))


class RateLimits:
    """Counts calls in moving windows: in no span of a rate's length are there more than it says.

    With a link the windows are in Redis, by its clock, and a call is one round trip. Without one,
    this process is taken to be alone.
    """

    def __init__(self, link: RedisLink | None) -> None:
        self._link = link
        self._process = secrets.token_hex(8)
        self._processes = 1 if link is None else _UNKNOWN_PROCESSES
        self._own = Windows()

    def take(self, checks: Sequence[RateLimit]) -> float | None:
        """Count a call in all of these limits, or, where one is used up, in none of them.

        Gives None where the call may be made, else the seconds after which it may be tried again.
        A limit that is named twice counts once.

        While Redis is away this process keeps to its share: the rate divided by the number of
        processes that took something in the minute before, and its own calls of that time count.
        Where that is less than one call, it is one call in a span that is longer by as much.
        """
        rates = {check.key: check.rate for check in checks}
        if not rates:
            return None
        if self._link is not None:
            try:
                return self._take_shared(self._link, rates)
            except RedisAway:
                pass
        return self._own.take({key: self._share(rate) for key, rate in rates.items()})

    def _take_shared(self, link: RedisLink, rates: Mapping[str, Rate]) -> float | None:
        keys = [_PROCESSES_KEY, *(f"{_PREFIX}:{key}" for key in rates)]
        figures = [(rate.amount, rate.get_expiry()) for rate in rates.values()]
        arguments = [self._process, *(figure for pair in figures for figure in pair)]
        wait_microseconds, self._processes = link.run(_TAKE_ALL, keys, arguments)
        if wait_microseconds:
            return float(wait_microseconds) / 1_000_000
        self._own.note({key: self._share(rate) for key, rate in rates.items()})
        return None

    def _share(self, rate: Rate) -> Span:
        processes = self._processes
        seconds = float(rate.get_expiry())
        if rate.amount >= processes:
            return Span(amount=rate.amount // processes, seconds=seconds)
        return Span(amount=1, seconds=seconds * processes / rate.amount)


def parse_rate(text: str) -> Rate:
    """Read a rate as agents' files write it: `10/second`, `100/minute`, `20 per 5 minutes`.

    Raises:
        ConfigurationError: It is no rate, and what one looks like.
    """
    try:
        rates = parse_many(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is no rate: {_REMEDY}") from error
    rate = rates[0]
    if len(rates) > 1:
        raise ConfigurationError(f"{text!r} is more than one rate: name one.")
    if re.search(r"(/|per)\s*0+\s*[a-z]", text, re.IGNORECASE):
        raise ConfigurationError(f"{text!r} has no span of time: {_REMEDY}")
    if rate.amount == 0:
        raise ConfigurationError(
            f"{text!r} allows nothing: take the tool out of the agent's file, or disable it with "
            "`fleetctl tools disable`."
        )
    if rate.amount > MOST_IN_A_WINDOW:
        raise ConfigurationError(
            f"{text!r} is over {MOST_IN_A_WINDOW:,} calls in a span: say it over a shorter one."
        )
    return rate
