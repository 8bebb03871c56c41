"""Checks of Redis or Valkey, where sessions, rates and breakers live."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import redis

from fleet_workers.doctor.finding import Check, Finding, failed, ok, warning
from fleet_workers.settings import Settings

_PATIENCE_SECONDS = 4.0
_SLOW_SECONDS = 0.05  # the fleet gives up after a quarter of a second
_FULL = 0.9
_CLOCK_SECONDS = 1.0
_OLDEST = 6


def memory_check(settings: Settings) -> Check:
    """The check of the server at FLEET_REDIS_URL."""
    return Check(
        group="redis",
        name="server",
        look=lambda: _look(settings.redis_url),
        remedy="Start it, or correct FLEET_REDIS_URL. Tasks go on without earlier turns.",
    )


def _look(url: str) -> Iterator[Finding]:
    client = redis.Redis.from_url(
        url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS
    )
    with client:
        told: dict[str, Any] = client.info()
        yield _version(told)
        yield from (replace(each, name="memory") for each in _memory(told))
        yield replace(_latency(client), name="latency")
        yield replace(_clock(client), name="clock")


def _version(told: dict[str, Any]) -> Finding:
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = str(told.get("valkey_version") or told["redis_version"])
    if int(version.split(".", maxsplit=1)[0]) < _OLDEST:
        return failed(f"{name} {version}.", f"Upgrade it to {_OLDEST} or newer.")
    if told.get("role") == "slave":
        return failed(
            f"{name} {version} is a replica.", "Point FLEET_REDIS_URL at the one that takes writes."
        )
    return ok(f"{name} {version}.")


def _memory(told: dict[str, Any]) -> Iterator[Finding]:
    used, room = int(told["used_memory"]), int(told.get("maxmemory") or 0)
    policy = str(told.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        yield warning(
            f"When memory is short, any key may go (maxmemory-policy {policy}): breakers and rates "
            "with them.",
            "Set maxmemory-policy to volatile-ttl: sessions expire by themselves.",
        )
    if room and used > room * _FULL:
        yield warning(
            f"{used * 100 // room} % of its memory is taken.",
            "Raise maxmemory; sessions are kept for a limited time only.",
        )
    else:
        share = f" of {room // 2**20}" if room else ""
        yield ok(f"{used // 2**20}{share} MiB of memory are taken.")


def _latency(client: redis.Redis) -> Finding:
    waits = []
    for _ in range(5):
        begun = time.perf_counter()
        client.ping()
        waits.append(time.perf_counter() - begun)
    median = sorted(waits)[len(waits) // 2]
    if median > _SLOW_SECONDS:
        return warning(
            f"It answers in {median * 1000:.0f} ms.",
            "Look for slow commands (SLOWLOG GET), swapping, or a long way over the network.",
        )
    return ok(f"It answers in {median * 1000:.1f} ms.")


def _clock(client: redis.Redis) -> Finding:
    asked_at = time.time()
    seconds, micros = client.time()
    stored, answered_at = seconds + micros / 1e6, time.time()
    off = max(asked_at - stored, stored - answered_at, 0.0)
    if off > _CLOCK_SECONDS:
        return warning(
            f"Its clock and this machine's are {off:.1f} s apart.", "Run an NTP client on both."
        )
    return ok("Its clock and this machine's agree.")
