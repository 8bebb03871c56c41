"""kombu's transport for Redis and Valkey, with messages that a killed consumer cannot take along.

kombu waits with BRPOP on the queues themselves and notes afterwards what it got: a message that
went to a consumer which dies before that exists nowhere any more. Here a consumer waits for a word
beside the queue, and takes the message and notes it in one step of the server.
"""

import hashlib
from collections.abc import Callable, Sequence
from queue import Empty
from time import monotonic, time
from typing import Any, Final

from kombu.transport import redis
from kombu.utils.json import loads
from kombu.utils.objects import cached_property

from fleet_client import redis_transport
from fleet_client.redis_transport import WORD_SECONDS
from fleet_contracts.topology import wake_address

# KEYS: kombu's notes of messages that are out and of when they went out, then for each queue and
# priority a list and its word. ARGV: the time, the seconds that a word is kept, then for each list
# whether its messages are acknowledged. Gives the position of a list, a message taken from it, and
# the message's tag. What holds no tag and address is none of kombu's messages, and is not noted.
_TAKE: Final = """
local function note(raw)
    local properties = cjson.decode(raw).properties
    local address = properties.delivery_info
    local exchange = cjson.encode(address.exchange .. '')
    local routing_key = cjson.encode(address.routing_key .. '')
    local tag = properties.delivery_tag .. ''
    return tag, '[' .. raw .. ', ' .. exchange .. ', ' .. routing_key .. ']'
end
local taken = nil
for i = 3, #KEYS, 2 do
    local position = (i - 1) / 2
    if not taken then
        local raw = redis.call('RPOP', KEYS[i])
        if raw then
            local sound, tag, noted = pcall(note, raw)
            taken = {position, raw, sound and tag}
            if sound and ARGV[position + 2] == '1' then
                redis.call('HSET', KEYS[1], tag, noted)
                redis.call('ZADD', KEYS[2], ARGV[1], tag)
            end
        end
    end
    if taken and redis.call('EXISTS', KEYS[i]) == 1 then
        redis.call('ZADD', KEYS[i + 1], 0, '')
        redis.call('EXPIRE', KEYS[i + 1], ARGV[2])
    end
end
return taken
"""


class QoS(redis.QoS):
    """kombu's account of messages that are out, without noting again what the server has noted."""

    channel: "Channel"

    def append(self, message: Any, delivery_tag: str) -> None:
        """Count a message in."""
        if delivery_tag == self.channel.noted_tag:
            self.channel.noted_tag = None
            super(redis.QoS, self).append(message, delivery_tag)
        else:
            super().append(message, delivery_tag)


class Channel(redis_transport.Channel):
    """kombu's channel with another way of waiting; its notes, keys and messages are kombu's own.

    Plain kombu and Celery clients can publish to it: a message without a word is found within
    `brpop_timeout`, one second. Broadcasts are left as they are, and so is `basic_get`.
    """

    QoS = QoS
    noted_tag: str | None = None
    """Tag of the message that was taken last, until it is counted in."""

    # What is used of kombu's channel and its type stubs leave out.
    connection_errors: tuple[type[Exception], ...]
    _closing: bool
    _create_client: Callable[[], Any]
    _flush_brpop_reauth: Callable[[], None]
    _q_for_pri: Callable[[str, int], str]
    _queue_cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unacknowledged_queues: set[str] = set()
        super().__init__(*args, **kwargs)

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue; with `no_ack` its messages are gone once they are taken."""
        if no_ack:
            self._unacknowledged_queues.add(queue)
        else:
            self._unacknowledged_queues.discard(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        connection = self.client.connection
        self._in_poll = connection
        self._brpop_sent_at = monotonic()
        words = map(wake_address, queues)
        connection.send_command("BZPOPMIN", *words, timeout or self.brpop_timeout)

    def _brpop_read(self, **options: Any) -> bool:
        connection = self.client.connection
        try:
            word = self.client.parse_response(connection, "BZPOPMIN", **options)
        except self.connection_errors:
            connection.disconnect()  # the poller connects again
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if self._closing:
            raise Empty
        queue, payload = self._take(
            _first(word, self._queue_cycle.consume(len(self.active_queues)))
        )
        self._queue_cycle.rotate(queue)
        self.connection._deliver(payload, queue)  # noqa: SLF001 as kombu's own channels do
        return True

    def _take(self, queues: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Take the most urgent message of these queues, and note it unless its queue is `no_ack`.

        Raises:
            Empty: There is none.
        """
        lists = [(each, priority) for priority in self.priority_steps for each in queues]
        keys = [self.unacked_key, self.unacked_index_key]
        acknowledged = []
        for queue, priority in lists:
            keys += [self._q_for_pri(queue, priority), wake_address(queue)]
            acknowledged.append(int(queue not in self._unacknowledged_queues))
        found = self._take_message(keys=keys, args=[time(), WORD_SECONDS, *acknowledged])
        if found is None:
            raise Empty
        position, raw, tag = found
        queue, _ = lists[position - 1]
        return queue, self._read(raw, tag, queue)

    @cached_property
    def _take_message(self) -> Any:
        return self._create_client().register_script(_TAKE)

    def _read(self, raw: bytes, tag: bytes | None, queue: str) -> dict[str, Any]:
        """A message of kombu's. Anything else becomes the body of one, which consumers refuse."""
        self.noted_tag = None
        if tag is not None:
            try:
                payload: dict[str, Any] = loads(raw.decode())
                self.Message(payload, channel=self)  # decodes the body
            except (AttributeError, KeyError, TypeError, ValueError):
                pass
            else:
                self.noted_tag = tag.decode()
                return payload
        name = tag.decode("utf-8", "replace") if tag else hashlib.sha256(raw).hexdigest()
        return {
            "body": raw.decode("utf-8", "replace"),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {},
            "properties": {
                "delivery_tag": name,
                "delivery_info": {"exchange": "", "routing_key": queue},
            },
        }


def _first(word: tuple[bytes, bytes, float] | None, queues: Sequence[str]) -> list[str]:
    """The queue whose word woke the consumer, then the others."""
    woken = word[0].decode() if word else ""
    return sorted(queues, key=lambda queue: wake_address(queue) != woken)


class Transport(redis_transport.Transport):
    """Opens channels of the kind above."""

    Channel = Channel
