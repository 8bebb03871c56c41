"""The last turns of a session, in Redis. A lost memory costs context, never correctness."""

import json
from collections.abc import Iterable
from typing import Any

import redis
import structlog

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import Unavailable

Turn = dict[str, Any]
"""What one side said, in the form of OpenAI's chat completions: role and content.

`tainted` stands beside what was said after untrusted text had been read.
"""

MAX_TURNS = 20
"""Turns kept a session: ten exchanges, which a model reads for a few cents."""
TTL_SECONDS = 30 * 24 * 3600

log = structlog.get_logger()


class SessionMemory:
    """Turns by tenant and session."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def recall(self, envelope: TaskEnvelope) -> list[Turn]:
        """The earlier turns of the envelope's session, oldest first; none where Redis is away."""
        if envelope.session_id is None:
            return []
        try:
            rows = self._client.lrange(self._key(envelope), -MAX_TURNS, -1)
            return [json.loads(row) for row in rows]
        except (redis.RedisError, ValueError) as error:
            log.warning("memory.session.unavailable", error=str(error))
            return []

    def remember(self, envelope: TaskEnvelope, answer: str, tainted: bool) -> None:
        """Add what was asked and answered."""
        if envelope.session_id is None:
            return
        turns = [
            json.dumps({"role": "user", "content": envelope.input}),
            json.dumps({"role": "assistant", "content": answer, "tainted": tainted}),
        ]
        try:
            with self._client.pipeline() as pipe:
                key = self._key(envelope)
                pipe.rpush(key, *turns)
                pipe.ltrim(key, -MAX_TURNS, -1)
                pipe.expire(key, TTL_SECONDS)
                pipe.execute()
        except redis.RedisError as error:
            log.warning("memory.session.unavailable", error=str(error))

    def forget(self, tenant: str, sessions: Iterable[str]) -> int:
        """Delete whole sessions; gives how many there were.

        Raises:
            Unavailable: Redis is away, and they may still be there.
        """
        keys = [_key(tenant, each) for each in sessions]
        try:
            return int(self._client.delete(*keys)) if keys else 0
        except redis.RedisError as error:
            raise Unavailable(f"The session memory cannot be reached: {error}") from error

    def _key(self, envelope: TaskEnvelope) -> str:
        return _key(envelope.tenant, str(envelope.session_id))


def _key(tenant: str, session_id: str) -> str:
    return f"fleet:session:{tenant}:{session_id}"
