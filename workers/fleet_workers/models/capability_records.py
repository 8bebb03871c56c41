"""What the whole fleet has found out about its models: one hash in Redis that forgets by itself.

A worker that starts, or works beside the one that found something out, need not find it out again.
"""

import json
from collections.abc import Collection, Mapping
from typing import Final

from fleet_workers.models.candidates import AT, Candidate
from fleet_workers.resilience.redis_link import RedisLink, Script

OWN_URL: Final = "https://api.openai.com/v1"
"""Where an endpoint is that has no address of its own in the settings."""

_KEY: Final = "fleet:model-lacks"

# ARGV: the field, milliseconds for which it is believed, and what is lacking. A field holds the
# time (the server's, in ms) until which each lack is believed.
_LEARN: Final = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local text = redis.call('HGET', KEYS[1], ARGV[1])
local held = {}
for lack, till in pairs(text and cjson.decode(text) or {}) do
    if till > now then held[lack] = till end
end
for i = 3, #ARGV do held[ARGV[i]] = now + tonumber(ARGV[2]) end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(held))
redis.call('EXPIRE', KEYS[1], 86400)
return 1
""")

_LIST: Final = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    local left = {}
    for lack, till in pairs(cjson.decode(all[i + 1])) do
        if till > now then left[lack] = till - now end
    end
    if next(left) == nil then
        redis.call('HDEL', KEYS[1], all[i])
    else
        found[#found + 1] = {all[i], cjson.encode(left)}
    end
end
return found
""")


class CapabilityRecords:
    """Each method is one round trip and raises RedisAway where there is no answer.

    `urls` are the endpoints' addresses by name: another endpoint under the same name is another.
    """

    def __init__(self, link: RedisLink, urls: Mapping[str, str]) -> None:
        self._link = link
        self._urls = urls

    def learn(self, candidate: Candidate, lacks: Collection[str], *, seconds: float) -> None:
        """Let the fleet believe for so long that these are lacking."""
        arguments = [self._field(candidate), round(seconds * 1000), *lacks]
        self._link.run(_LEARN, [_KEY], arguments)

    def all(self, candidates: Collection[Candidate]) -> dict[Candidate, dict[str, float]]:
        """What each of these is known to lack, and for how many seconds more that is believed."""
        known = read_lacks(self._link)
        return {each: known[name] for each in candidates if (name := self._field(each)) in known}

    def url_of(self, candidate: Candidate) -> str:
        """Where a candidate is asked."""
        return self._urls.get(candidate.endpoint, candidate.endpoint)

    def _field(self, candidate: Candidate) -> str:
        return f"{candidate.model}{AT}{self.url_of(candidate)}"


def read_lacks(link: RedisLink) -> dict[str, dict[str, float]]:
    """What each `MODEL at URL` is known to lack, and for how many seconds more.

    Raises:
        RedisAway: There is no answer.
    """
    return {
        field.decode(): {lack: float(left_ms) / 1000 for lack, left_ms in json.loads(text).items()}
        for field, text in link.run(_LIST, [_KEY], [])
    }
