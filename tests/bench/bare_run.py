"""Worker processes of bare Celery, with as many slots as the fleet's, and their queue.

Nothing is published with confirms here: the fleet's task events are not confirmed either, and
Celery 5.7 would read one connection from two threads and hang, were they.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.bare_celery import QUEUE, app
from bench.drain import reach
from bench.fleet_run import TESTS
from support.stacks import Stack


@contextmanager
def bare_workers(
    stack: Stack, *, workers: int, slots: int, **environment: str
) -> Iterator[list[int]]:
    """Start worker processes and give their ids; they end with the block."""
    every = {
        **os.environ,
        "BARE_BROKER_URL": stack.broker_url,
        "OPENAI_API_KEY": "any",
        "PYTHONPATH": str(TESTS),
        **environment,
    }
    options = ("-P", "threads", "-c", str(slots), "-l", "WARNING", "-E")
    started = [
        subprocess.Popen(
            (
                *(sys.executable, "-m", "celery", "-A", "bench.bare_celery", "worker", *options),
                *("--without-gossip", "--without-mingle", "-n", f"bare{number}@%h"),
            ),
            env=every,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(workers)
    ]
    try:
        yield [each.pid for each in started]
    finally:
        for each in started:
            each.kill()
        for each in started:
            each.wait()


@contextmanager
def bare_queue(stack: Stack, name: str, every: Sequence[Sequence[object]]) -> Iterator[None]:
    """A queue for them with one task for each of the argument lists; it goes with the block."""
    app.conf.broker_url = stack.broker_url
    with app.connection() as connection, app.amqp.Producer(connection) as producer:
        queue = app.amqp.queues[QUEUE](connection.default_channel)
        queue.declare()
        try:
            for arguments in every:
                app.send_task(name, arguments, producer=producer)
            reach(lambda: waiting() == len(every))
            yield
        finally:
            queue.delete()


def waiting() -> int:
    """Messages that no worker has taken yet."""
    with app.connection() as connection:
        queue = app.amqp.queues[QUEUE](connection.default_channel)
        return int(queue.queue_declare(passive=True).message_count)
