"""The way to Redis for what works without it too: quick to give up, and away for a moment then."""

import time
from collections.abc import Sequence
from hashlib import sha1
from threading import Lock
from typing import Any

import redis
import structlog
from redis.exceptions import NoScriptError

_TIMEOUT_SECONDS = 0.25  # a script takes 0.1 ms; what needs longer is away
_AWAY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Script:
    """A Lua script, sent by its hash once the server knows it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisAway(Exception):
    """Redis did not answer, or did not within the last second. The caller goes on without it."""


class RedisLink:
    """Asks Redis, and spares callers the wait while it is away.

    After a failure nobody asks for a second; then one caller tries, while the others go on
    without. So a Redis that stalls costs one caller a quarter of a second, about once a second.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._away_until: float | None = None
        self._lock = Lock()

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run a script: one round trip, or two where the server does not know it yet.

        Raises:
            RedisAway: It was not asked, or there was no answer; it may have been carried out.
        """
        if self._away_until is not None:
            self._claim_attempt()
        try:
            answer = self._evaluate(script, keys, arguments)
        except redis.RedisError as error:
            self._note_away(error)
            raise RedisAway(str(error)) from error
        if self._away_until is not None:
            self._note_back()
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _evaluate(self, script: Script, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        words: tuple[Any, ...] = (*keys, *arguments)
        try:
            return self._client.evalsha(script.sha, len(keys), *words)
        except NoScriptError:
            return self._client.eval(script.source, len(keys), *words)

    def _claim_attempt(self) -> None:
        with self._lock:
            now = time.monotonic()
            if self._away_until is None:
                return
            if now < self._away_until:
                raise RedisAway("Redis did not answer a moment ago.")
            self._away_until = now + _AWAY_SECONDS

    def _note_away(self, error: redis.RedisError) -> None:
        with self._lock:
            is_new = self._away_until is None
            self._away_until = time.monotonic() + _AWAY_SECONDS
        if is_new:
            log.warning("redis.away", error=str(error))
            self._client.connection_pool.disconnect(inuse_connections=False)

    def _note_back(self) -> None:
        with self._lock:
            was_away, self._away_until = self._away_until is not None, None
        if was_away:
            log.info("redis.back")


def open_link(url: str) -> RedisLink:
    """Make a link; nothing is opened before the first question."""
    return RedisLink(
        redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
        )
    )
