"""A worker that takes all it gets of one rate with ten threads; prints when it got something.

Arguments: the URL of Redis, the rate, the moment (time.time) to begin, and for how many seconds.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from fleet_workers.resilience.limits import RateLimit, RateLimits, parse_rate
from fleet_workers.resilience.redis_link import open_link


def main(url: str, rate: str, begin: float, seconds: float) -> None:
    link = open_link(url)
    limits = RateLimits(link)
    checks = [RateLimit(scope=("tool", "refund"), rate=parse_rate(rate))]
    taken = []

    def take(_: int) -> None:
        while time.time() < begin + seconds:
            if limits.take(checks) is None:
                taken.append(time.time())
            time.sleep(0.01)

    time.sleep(max(0.0, begin - time.time()))
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(take, range(10)))
    link.close()
    print(json.dumps(taken))  # noqa: T201 read by the test


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
