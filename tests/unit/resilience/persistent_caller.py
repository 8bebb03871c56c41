"""A worker that calls a dependency with fifty threads, whether it works or not; prints when.

Arguments: the URL of Redis, and the moments (time.time) to begin, when the dependency works again,
and to end.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from fleet_contracts.errors import BreakerOpen, TimedOut
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.redis_link import open_link

OPEN_SECONDS = 1.0
SLOTS = 50


def main(url: str, begin: float, works_from: float, end: float) -> None:
    link = open_link(url)
    breakers = Breakers(failures=3, open_seconds=OPEN_SECONDS, link=link)
    called = []

    def call() -> None:
        at = time.time()
        called.append(at)
        time.sleep(0.05)
        if at < works_from:
            raise TimedOut("slow")

    def keep_calling(_slot: int) -> None:
        while time.time() < end:
            try:
                breakers.call("crm", call)
            except (BreakerOpen, TimedOut):
                time.sleep(0.005)

    time.sleep(max(0.0, begin - time.time()))
    with ThreadPoolExecutor(SLOTS) as pool:
        list(pool.map(keep_calling, range(SLOTS)))
    link.close()
    print(json.dumps(called))  # noqa: T201 read by the test


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
