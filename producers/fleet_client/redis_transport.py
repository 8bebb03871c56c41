"""kombu's transport for Redis and Valkey, whose publishers wake the workers."""

from typing import Any, Final

from kombu.transport import redis

from fleet_contracts.topology import wake_address

WORD_SECONDS: Final = 3600
"""How long a word is kept. Queues for replies come and go; their keys must not stay for ever."""


class Channel(redis.Channel):
    """Publishes as kombu does, and leaves a word for the workers, who sleep on it.

    The word is a hint: where it is lost, they find the message within a second. There is at most
    one a queue; a worker that takes a message and sees another leaves the word again.
    """

    def _put(
        self, queue: str, message: dict[str, Any], _publish_batch: Any = None, **kwargs: Any
    ) -> None:
        put: Any = super()._put  # the type stubs know no batches
        if _publish_batch is not None:
            put(queue, message, _publish_batch=_publish_batch, **kwargs)
            return
        word = wake_address(queue)
        with self.conn_or_acquire() as client, client.pipeline() as pipeline:
            put(queue, message, _publish_batch=_Commands(pipeline), **kwargs)
            pipeline.zadd(word, {"": 0})
            pipeline.expire(word, WORD_SECONDS)
            pipeline.execute()


class Transport(redis.Transport):
    """Opens channels of the kind above."""

    Channel = Channel


class _Commands:
    """What kombu hands the commands of a publication to, where several go in one round trip."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def add(self, name: str, *arguments: Any) -> None:
        getattr(self._pipeline, name)(*arguments)
