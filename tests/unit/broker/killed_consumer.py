"""A consumer that takes one message and never comes back from it; says so, then waits to be killed.

Arguments: the URL of Redis, the queue.
"""

import signal
import sys
from typing import Any

from kombu import Consumer, Queue

from fleet_workers.broker.connection import WorkerConnection


def main(url: str, queue: str) -> None:
    def take(body: Any, _message: Any) -> None:
        print("took", body, flush=True)  # noqa: T201 read by the test
        signal.pause()

    with (
        WorkerConnection(url) as connection,
        Consumer(connection, [Queue(queue)], callbacks=[take]),
    ):
        while True:
            connection.drain_events()


if __name__ == "__main__":
    main(*sys.argv[1:])
