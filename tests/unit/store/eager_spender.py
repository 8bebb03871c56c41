"""A worker that reserves against one limit with many threads; prints what it got.

Arguments: the store's SQLAlchemy URL, threads, reservations a thread, the limit in US dollars.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import Engine

from fleet_contracts.errors import BudgetError
from fleet_workers.store import spend
from fleet_workers.store.engine import open_engine
from fleet_workers.store.spend import Bound, Expense

TASK = UUID(int=1)


def expense(key: str, limit: Decimal, amount: Decimal) -> Expense:
    def bound(subject: str, by_day: bool) -> Bound:
        return Bound(subject=subject, by_day=by_day, limit_usd=limit, said="the limit")

    return Expense(
        key=key,
        kind="moved",
        task_id=TASK,
        tenant="acme",
        agent="billing",
        customer="c1",
        purpose="refund",
        amount_usd=amount,
        bounds=[
            bound(spend.tenant_total("acme"), True),
            bound(spend.customer_total("acme", "c1"), True),
            bound(spend.task_total(TASK), False),
        ],
    )


def work(engine: Engine, times: int, limit: Decimal) -> tuple[list[str], int]:
    """Reserve, and give every third back or settle it; gives the kept keys and the refusals."""
    kept, refused = [], 0
    for number in range(times):
        key = str(uuid4())
        try:
            with engine.begin() as connection:
                spend.reserve(connection, [expense(key, limit, Decimal("0.37"))])
        except BudgetError:
            refused += 1
            continue
        with engine.begin() as connection:
            if number % 3 == 0:
                spend.give_back(connection, key)
            elif number % 3 == 1:
                spend.settle(connection, key)
        if number % 3:
            kept.append(key)
    return kept, refused


def main(url: str, threads: int, times: int, limit: Decimal) -> None:
    engine = open_engine(url, connections=threads, application="spender")
    with ThreadPoolExecutor(threads) as pool:
        ends = list(pool.map(lambda _: work(engine, times, limit), range(threads)))
    engine.dispose()
    said = {"kept": sum(len(kept) for kept, _ in ends), "refused": sum(end for _, end in ends)}
    print(json.dumps(said))  # noqa: T201 read by the test


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Decimal(sys.argv[4]))
