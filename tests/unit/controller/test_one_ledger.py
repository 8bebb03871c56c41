"""One ledger for model calls: whatever ends them, wherever they run, no budget is passed."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text

from fleet_contracts.states import TaskState
from fleet_workers.models.messages import AskAgain, ChatReply, ChatRequest, Spent
from fleet_workers.store.model_tables import model_days
from fleet_workers.store.model_use import Use
from fleet_workers.store.money_tables import spend_entries, spend_totals
from support.databases import empty_tables
from unit.controller.eager_asker import ENDS, MOST_USD
from unit.controller.gated import COST, MODEL, GatedWorld, PricedWriter
from unit.machine.strikes import Strike

ASKER = Path(__file__).with_name("eager_asker.py")
PROCESSES, THREADS, TIMES = 2, 50, 10
BUDGET = Decimal(20)
DAY_TOTALS = ("tenant acme", "agent clerk")


def total_of(engine: Engine, subject: str) -> Decimal:
    with engine.connect() as connection:
        query = select(func.sum(spend_totals.c.amount_usd)).where(
            spend_totals.c.subject == subject, spend_totals.c.kind == "cost"
        )
        return connection.execute(query).scalar() or Decimal(0)


def test_a_thousand_calls_at_once_never_pass_one_budget(engine: Engine) -> None:
    with engine.begin() as connection:
        empty_tables(connection)
        # Locks are what is tried here, and a thousand of them do not wait for a disk each.
        name = engine.url.database
        connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
    highest, is_over = [Decimal(0)], Event()

    def watch() -> None:
        while not is_over.is_set():
            highest[0] = max(highest[0], *(total_of(engine, each) for each in DAY_TOTALS))
            time.sleep(0.02)

    watcher = Thread(target=watch)
    watcher.start()
    url = engine.url.render_as_string(hide_password=False)
    command = (sys.executable, str(ASKER), url, str(THREADS), str(TIMES), str(BUDGET))
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    said = [json.loads(process.communicate()[0]) for process in running]
    is_over.set()
    watcher.join()
    ends = sum((Counter(each["ends"]) for each in said), Counter[str]())
    assert sum(ends.values()) == PROCESSES * THREADS * TIMES == 1000
    # I expect every kind of end, calls that found no room, and each counted as it ended
    assert set(ends) == {*ENDS, "no room"}
    counted = sum(Decimal(each["counted"]) for each in said)
    assert total_of(engine, "tenant acme") == total_of(engine, "agent clerk") == counted
    assert BUDGET - MOST_USD < counted <= highest[0] <= BUDGET
    with engine.connect() as connection:
        entered = connection.execute(select(func.sum(spend_entries.c.amount_usd))).scalar()
        day = connection.execute(
            select(*(func.sum(model_days.c[name]) for name in ("calls", "cost_usd", "saved_usd")))
        ).one()
    assert entered == counted
    # What was used is noted beside it: all but what never came, at what is known of its cost
    assert day[0] == sum(ends[each] for each in ENDS) - ends["late"] - ends["refused"]
    assert day[1] == counted - MOST_USD * (ends["late"] + ends["lost"])
    assert day[2] == Decimal("0.05") * (ends["cache"] + ends["batch"])


class _Counted(PricedWriter):
    """Counts the answers that arrived."""

    answers = 0

    def complete(self, request: ChatRequest) -> ChatReply:
        reply = super().complete(request)
        self.answers += 1
        return reply


WHERE = [("journal.before", 0), ("journal.before", 1), ("journal.after", 0), ("journal.after", 1)]
WHERE += [("fence", 0), ("model.before", 0), ("model.after", 0), ("leave.written", 0)]


@pytest.mark.parametrize(("point", "nth"), WHERE)
def test_wherever_a_worker_dies_a_call_counts_once_and_never_too_little(
    world: GatedWorld, point: str, nth: int
) -> None:
    world.price("1000")  # an answer of 100 tokens costs at most 0.1
    model = _Counted(world.writer)
    world.ports = replace(world.ports, model=model)
    task_id = world.submit(["find_order"], budget_usd=Decimal(1))
    world.work(Strike(action="kill", at=point, nth=nth))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    entries = world.entries("cost")
    total = world.total(f"task {task_id}", "cost")
    assert total == world.total(kind="cost") == sum(amount for _, amount in entries)
    # I expect every answer at its cost, and at most one question more that nobody knows the end of
    spent = [amount for state, amount in entries if state == "spent"]
    lost = [amount for state, amount in entries if state == "reserved"]
    assert spent == [COST] * model.answers
    assert lost in ([], [Decimal("0.1")])
    if point.startswith("model"):
        assert lost


class _Told:
    """A model that tells each time how it went wrong, and answers in the end."""

    def __init__(self, world: GatedWorld, *errors: Exception) -> None:
        self._left = list(errors)
        self._model = PricedWriter(world.writer)

    def complete(self, request: ChatRequest) -> ChatReply:
        if self._left:
            raise self._left.pop(0)
        return self._model.complete(request)


def test_shares_of_a_batch_that_failed_count_and_what_cost_nothing_is_not_noted(
    world: GatedWorld,
) -> None:
    world.price("1000")
    share = Spent(model=MODEL, source="batch", prompt_tokens=9, cost_usd=Decimal("0.004"))
    refused = AskAgain("refused", spent=Spent(cost_usd=Decimal(0)))
    noted: list[Use] = []
    model = _Told(world, AskAgain("no use", spent=share), refused)
    world.ports = replace(world.ports, model=model)
    world.guard(note_use=noted.append)
    task_id = world.submit(budget_usd=Decimal("0.2"))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    assert world.total(f"task {task_id}", "cost") == COST + Decimal("0.004")
    assert [(use.source, use.cost_usd) for use in noted] == [
        ("batch", Decimal("0.004")),
        ("model", COST),
    ]


class _Linked(PricedWriter):
    """Replies that came about as the parts of `origin` say."""

    def __init__(self, world: GatedWorld, **origin: Any) -> None:
        super().__init__(world.writer)
        self._origin = origin

    def complete(self, request: ChatRequest) -> ChatReply:
        return replace(super().complete(request), **self._origin)


@pytest.mark.parametrize(
    ("source", "cost", "saved"),
    [
        ("exact_cache", "0", "0.01"),
        ("semantic_cache", "0", "0.01"),
        ("in_flight", "0", "0.01"),
        ("batch", "0.00312345678", "0.006"),
        ("batch_api", "0.005", "0.005"),
    ],
)
def test_a_reply_that_others_pay_for_counts_its_own_share(
    world: GatedWorld, source: str, cost: str, saved: str
) -> None:
    world.price("1000")
    model = _Linked(world, source=source, cost_usd=Decimal(cost), saved_usd=Decimal(saved))
    noted: list[Use] = []
    world.ports = replace(world.ports, model=model)
    world.guard(note_use=noted.append)
    task_id = world.submit(budget_usd=Decimal("0.1"))
    world.settle()
    assert world.state(task_id) == TaskState.SUCCEEDED
    # What is less than the ledger keeps is rounded up, so that many small shares count
    kept = Decimal("0.00312346") if source == "batch" else Decimal(cost)
    assert world.entries("cost") == [("spent", kept)]
    assert world.total(f"task {task_id}", "cost") == kept
    (use,) = noted
    assert (use.source, use.cost_usd, use.saved_usd) == (source, kept, Decimal(saved))
