"""What the whole fleet knows of its breakers: one hash in Redis, changed in single steps.

The clock is the server's. `CircuitRedisStorage` of pybreaker cannot carry this; decision 0012 says
why.
"""

from dataclasses import dataclass
from typing import Any, Final

import pybreaker

from fleet_workers.resilience.redis_link import RedisLink, Script

_KEY: Final = "fleet:breakers"

# ARGV: what to do, the breaker's name, a token, and milliseconds: how long it stays open, how long
# a claim lasts, how long ago the caller last saw a success (-1: never). A record holds: c failures
# in a row, f the first of them, s the last success, u open until (0: closed), p claimed until,
# t by whom. Gives whether a claim was granted, failures, the time until a probe (-1: closed) and
# what is left of a claim. A day without any change forgets all.
_CHANGE: Final = Script("""
local does, name, token = ARGV[1], ARGV[2], ARGV[3]
local open_for, claim_for, since_success = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local text = redis.call('HGET', KEYS[1], name)
local r = text and cjson.decode(text) or {c = 0, f = 0, s = 0, u = 0, p = 0, t = ''}
r.u, r.p = math.min(r.u, now + open_for), math.min(r.p, now + claim_for)
local granted = 0
if does == 'fail' and r.u == 0 then
    if since_success >= 0 then r.s = math.max(r.s, now - since_success) end
    if r.c == 0 or r.s > r.f then r.c, r.f = 0, now end
    r.c = r.c + 1
elseif does == 'succeed' and r.u == 0 then
    r.c, r.s = 0, now
elseif does == 'open' and (r.u == 0 or (token ~= '' and r.t == token)) then
    r.u, r.p, r.t = now + open_for, 0, ''
elseif does == 'claim' and (r.u ~= 0 or not text) and now >= r.u and now >= r.p then
    r.u, r.p, r.t, granted = math.max(r.u, 1), now + claim_for, token, 1
elseif does == 'close' and (r.t == token or r.t == '') then
    r.c, r.s, r.u, r.p, r.t = 0, now, 0, 0, ''
elseif does == 'release' and r.t == token then
    r.p, r.t = 0, ''
end
redis.call('HSET', KEYS[1], name, cjson.encode(r))
redis.call('EXPIRE', KEYS[1], 86400)
return {granted, r.c, r.u == 0 and -1 or math.max(0, r.u - now), math.max(0, r.p - now)}
""")

_LIST: Final = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    local r = cjson.decode(all[i + 1])
    local wait = r.u == 0 and -1 or math.max(0, r.u - now)
    found[#found + 1] = {all[i], 0, r.c, wait, math.max(0, r.p - now)}
end
return found
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A breaker as the fleet knows it.

    `probe_in_seconds` is None where it is closed, and 0 where a probe is due. `claim_seconds` is
    what is left of another call's right to be the probe.
    """

    granted: bool
    failures: int
    probe_in_seconds: float | None
    claim_seconds: float

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half-open` while a call is the probe."""
        if self.probe_in_seconds is None:
            return pybreaker.STATE_CLOSED
        return pybreaker.STATE_HALF_OPEN if self.claim_seconds > 0 else pybreaker.STATE_OPEN


class BreakerRecords:
    """Each method is one round trip and raises RedisAway where there is no answer."""

    def __init__(self, link: RedisLink, *, open_seconds: float, claim_seconds: float) -> None:
        self._link = link
        self._open_ms = round(open_seconds * 1000)
        self._claim_ms = round(claim_seconds * 1000)

    def all(self) -> dict[str, Record]:
        """Every breaker that failed within the last day, by name."""
        return read_records(self._link)

    def fail(self, name: str, *, success_seconds_ago: float | None) -> Record:
        """Count a failure, unless it is open. A success since the first failure ends the row."""
        ago = -1 if success_seconds_ago is None else round(success_seconds_ago * 1000)
        return self._change("fail", name, success_ms_ago=ago)

    def succeed(self, name: str) -> Record:
        """End a row of failures, unless it is open."""
        return self._change("succeed", name)

    def open(self, name: str, *, token: str = "") -> Record:
        """Open it where it is closed, or again where the call with this token was the probe."""
        return self._change("open", name, token)

    def claim(self, name: str, token: str) -> Record:
        """Ask for the right to be the one call that tries the dependency again."""
        return self._change("claim", name, token)

    def close(self, name: str, token: str) -> Record:
        """Close it: the call with this token succeeded. Nothing where another one has the right."""
        return self._change("close", name, token)

    def release(self, name: str, token: str) -> Record:
        """Give the right back: the call told nothing."""
        return self._change("release", name, token)

    def _change(self, does: str, name: str, token: str = "", *, success_ms_ago: int = -1) -> Record:
        arguments = [does, name, token, self._open_ms, self._claim_ms, success_ms_ago]
        return _record(self._link.run(_CHANGE, [_KEY], arguments))


def read_records(link: RedisLink) -> dict[str, Record]:
    """Every breaker that failed within the last day, by name.

    Raises:
        RedisAway: There is no answer.
    """
    rows = link.run(_LIST, [_KEY], [])
    return {row[0].decode(): _record(row[1:]) for row in rows}


def _record(row: list[Any]) -> Record:
    granted, failures, probe_in_ms, claim_ms = row
    return Record(
        granted=bool(granted),
        failures=failures,
        probe_in_seconds=None if probe_in_ms < 0 else probe_in_ms / 1000,
        claim_seconds=claim_ms / 1000,
    )
