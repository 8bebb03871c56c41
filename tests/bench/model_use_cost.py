"""What it costs to note every reply of a model, and whether a thousand calls pass one budget."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import Engine, select

from bench.figures import Figure, Remark, Said
from bench.processor import ProcessorClock
from fleet_contracts.envelope import build_envelope
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.controller.admission import ProposedQuestion
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.models.prices import Price, Prices
from fleet_workers.settings import Settings
from fleet_workers.store.engine import open_engine
from fleet_workers.store.money_tables import spend_entries, spend_totals
from fleet_workers.store.use_counter import NoteUse, counted_use
from support.databases import temporary_database

_SLOTS = Settings.model_fields["slots"].default
_CALLS = 400  # a round, of all slots together
_ROUNDS = 5
_BUDGET_USD = Decimal(20)
_ASKER = Path(__file__).parents[1] / "unit" / "controller" / "eager_asker.py"
_PRICES = Prices(
    by_model={
        "paid": Price(input_usd=Decimal(1), output_usd=Decimal(2)),
        "free": Price(input_usd=Decimal(0), output_usd=Decimal(0)),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One round: seconds it took, and processor time of worker and store, of all calls."""

    seconds: float
    processor: float


def measure() -> Iterator[Said]:
    """Admit and settle calls of a hundred slots, with and without notes, in turn."""
    yield Remark(text=f"{_SLOTS} slots, {_CALLS} calls a round, one tenant, one agent, one model")
    with temporary_database() as url:
        engine = open_engine(
            url,
            connections=Settings.model_fields["store_connections"].default,
            application="bench use",
            ping=False,
        )
        try:
            yield from _compared(engine)
            yield from _against_one_budget(engine, url)
        finally:
            engine.dispose()


def _compared(engine: Engine) -> Iterator[Figure]:
    ways = {"paid_without": ("paid", False), "paid": ("paid", True), "free": ("free", True)}
    rounds: dict[str, list[_Round]] = {name: [] for name in ways}
    for number in range(_ROUNDS + 1):
        for name, (model, noted) in ways.items():
            with counted_use(engine if noted else None) as note_use:
                found = _round(engine, model, note_use)
            if number:  # the first warms everything up
                rounds[name].append(found)
    processor = {
        name: median(each.processor for each in found) / _CALLS * 1000
        for name, found in rounds.items()
    }
    seconds = {name: median(each.seconds for each in found) for name, found in rounds.items()}
    yield Figure(name="use.processor_paid", value=processor["paid"], unit="ms/call")
    yield Figure(
        name="use.processor_paid_to_without",
        value=processor["paid"] / processor["paid_without"],
        unit="of the same without notes",
    )
    yield Figure(name="use.processor_free", value=processor["free"], unit="ms/call")
    yield Figure(
        name="use.paid_calls_to_without",
        value=seconds["paid_without"] / seconds["paid"],
        unit="of the calls a second without notes",
    )
    yield Figure(name="use.paid_calls", value=_CALLS / seconds["paid"], unit="1/s")


def _round(engine: Engine, model: str, note_use: NoteUse) -> _Round:
    """Let all slots admit and settle calls."""
    gatekeeper = Gatekeeper(
        guards=cast("Any", None),  # only tools are guarded
        engine=engine,
        prices=_PRICES,
        models={"small": [model]},
        max_output_tokens=1000,
        note_use=note_use,
    )
    clock = ProcessorClock([], engine)
    before, worker, begun = clock.read().store or 0.0, time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(_SLOTS) as pool:
        list(pool.map(lambda _: _call(gatekeeper, model), range(_CALLS)))
    seconds = time.perf_counter() - begun
    used = time.process_time() - worker + (clock.read().store or 0.0) - before
    return _Round(seconds=seconds, processor=used)


def _against_one_budget(engine: Engine, url: str) -> Iterator[Figure]:
    """Let two processes ask at once; each call ends in one of the ways that calls end."""
    with engine.begin() as connection:
        for table in (spend_entries, spend_totals):
            connection.execute(table.delete())
    command = (sys.executable, str(_ASKER), url, "50", "10", str(_BUDGET_USD))
    path = {"PYTHONPATH": str(_ASKER.parents[2])}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | path) for _ in range(2)
    ]
    said = [json.loads(each.communicate()[0]) for each in running]
    ends = sum((Counter(each["ends"]) for each in said), Counter[str]())
    with engine.connect() as connection:
        counted = connection.execute(
            select(spend_totals.c.amount_usd).where(spend_totals.c.subject == "tenant acme")
        ).scalar_one()
    yield Figure(name="budget.calls", value=ends.total(), unit="calls at once")
    yield Figure(name="budget.found_room", value=ends.total() - ends["no room"], unit="calls")
    yield Figure(name="budget.counted", value=float(counted), unit=f"USD of {_BUDGET_USD}")
    over = max(Decimal(0), counted - _BUDGET_USD)
    yield Figure(name="budget.overshoot", value=float(over), unit="USD")
    missing = abs(counted - sum(Decimal(each["counted"]) for each in said))
    yield Figure(name="budget.miscounted", value=float(missing), unit="USD")


def _call(gatekeeper: Gatekeeper, model: str) -> None:
    envelope = build_envelope(tenant="acme", agent="clerk", input="Hello")
    question = ProposedQuestion(
        request=ChatRequest(messages=[], tools=[]),
        envelope=envelope,
        agent="clerk",
        limits=SpendLimits(),
        key=f"{envelope.id}:plan:{uuid4()}",
    )
    reply = ChatReply(
        text="Hello.",
        tool_calls=(),
        model=model,
        finish_reason="stop",
        prompt_tokens=1000,
        completion_tokens=100,
        duration_seconds=0.5,
        cost_usd=_PRICES.cost_usd(model, input_tokens=1000, output_tokens=100),
    )
    gatekeeper.admit_question(question)
    gatekeeper.settle_question(question, reply)
