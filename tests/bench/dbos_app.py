"""The other yardstick: one durable DBOS workflow of one step. Runs in an environment of its own.

`fill COUNT` puts workflows on the queue, `work NAME SLOTS` takes them off until it is killed.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from dbos import DBOS, DBOSClient, DBOSConfig

QUEUE = "bench"
VERSION = "1"
_POLLING_SECONDS = (
    0.01  # the default, 1 s, would let a process take no more than its slots a second
)
_FILLERS = 8


@DBOS.step()
def answer(text: str) -> str:
    """Answer at once, as the fleet's model does."""
    return f"Done: {text}"


@DBOS.workflow()
def handle(text: str) -> str:
    """One step, recorded."""
    return answer(text)


def fill(url: str, count: int) -> None:
    """Make the tables and put workflows on the queue."""
    DBOS.migrate(url)
    client = DBOSClient(system_database_url=url, system_database_pool_size=_FILLERS)
    options = {"workflow_name": "handle", "queue_name": QUEUE, "app_version": VERSION}
    with ThreadPoolExecutor(_FILLERS) as pool:
        for done in [
            pool.submit(client.enqueue, options, f"How are you? {each}") for each in range(count)
        ]:
            done.result()
    client.destroy()


def work(url: str, name: str, slots: int) -> None:
    """Take workflows off the queue until killed."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "executor_id": name,
        "application_version": VERSION,
        "log_level": "WARNING",
        "run_migrations": False,
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=slots, polling_interval_sec=_POLLING_SECONDS)
    Event().wait()


if __name__ == "__main__":
    store_url = os.environ["BENCH_STORE_URL"]
    if sys.argv[1] == "fill":
        fill(store_url, int(sys.argv[2]))
    else:
        work(store_url, sys.argv[2], int(sys.argv[3]))
