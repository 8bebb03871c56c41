"""A worker whose threads ask a paid model against one budget; prints what came of it.

Arguments: the store's SQLAlchemy URL, threads, questions a thread, the day's budget in US dollars.
"""

import json
import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import Engine

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import BudgetError
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.controller.admission import ProposedQuestion
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.models.asked_for import Source
from fleet_workers.models.messages import ChatReply, ChatRequest, Spent
from fleet_workers.models.prices import Price, Prices
from fleet_workers.store.engine import open_engine
from fleet_workers.store.use_counter import NoteUse, counted_use

MOST_USD = Decimal("0.10")
"""What a call can cost at most: 100 tokens of the dearer of the tier's two models."""
PRICES = Prices(
    by_model={
        "paid": Price(input_usd=Decimal(0), output_usd=Decimal(500)),
        "dear": Price(input_usd=Decimal(0), output_usd=Decimal(1000)),
    }
)
ENDS: tuple[str, ...] = ("paid", "dear", "cut", "lost", "late", "refused", "cache", "batch")
"""How a call can end: by either model, half-way with or without a known cost, too late, not at
all, or with a reply that another call has paid for, or has a share in."""
_TAKEN_OVER = 0.2


def question(limit: Decimal) -> ProposedQuestion:
    envelope = build_envelope(tenant="acme", agent="clerk", input="Hello")
    return ProposedQuestion(
        request=ChatRequest(messages=[], tools=[]),
        envelope=envelope,
        agent="clerk",
        limits=SpendLimits(cost_per_tenant_day=limit, cost_per_agent_day=limit),
        key=f"{envelope.id}:plan:{uuid4()}",
    )


def reply(model: str, cost: str, source: Source = "model") -> ChatReply:
    return ChatReply(
        text="Hello.",
        tool_calls=(),
        model=model,
        finish_reason="stop",
        prompt_tokens=10,
        completion_tokens=5,
        duration_seconds=0.0,
        cost_usd=Decimal(cost),
        source=source,
        saved_usd=None if source == "model" else Decimal("0.05"),
    )


def end(gatekeeper: Gatekeeper, asked: ProposedQuestion, how: str) -> Decimal:
    """Settle a question in one of the ways; gives what it must count as."""
    took: dict[str, ChatReply | Spent | None] = {
        "paid": reply("paid", "0.03"),
        "dear": reply("dear", "0.10"),
        "cut": Spent(model="paid", prompt_tokens=10, completion_tokens=3, cost_usd=Decimal("0.02")),
        "lost": Spent(model="paid", completion_tokens=3),
        "refused": None,
        "cache": reply("paid", "0", "exact_cache"),
        "batch": reply("paid", "0.007", "batch"),
    }
    if how != "late":
        gatekeeper.settle_question(asked, took[how])
    settled = took.get(how)
    if how in {"late", "lost"}:
        return MOST_USD
    return Decimal(0) if settled is None else settled.cost_usd or Decimal(0)


def ask(
    gatekeeper: Gatekeeper, limit: Decimal, times: int, seed: int
) -> tuple[Decimal, Counter[str]]:
    chance, counted, ends = random.Random(seed), Decimal(0), Counter[str]()  # noqa: S311 a test's
    for _ in range(times):
        asked = question(limit)
        try:
            gatekeeper.admit_question(asked)
            if chance.random() < _TAKEN_OVER:  # a worker died, and another one takes over
                gatekeeper.admit_question(asked)
        except BudgetError:
            ends["no room"] += 1
            continue
        how = chance.choice(ENDS)
        ends[how] += 1
        counted += end(gatekeeper, asked, how)
    return counted, ends


def _gatekeeper(engine: Engine, note_use: NoteUse) -> Gatekeeper:
    return Gatekeeper(
        guards=cast("Any", None),  # only tools are guarded
        engine=engine,
        prices=PRICES,
        models={"small": ["paid", "dear"]},
        max_output_tokens=100,
        note_use=note_use,
    )


def main(url: str, threads: int, times: int, limit: Decimal) -> None:
    engine = open_engine(url, connections=10, application="asker")
    with counted_use(engine) as note_use, ThreadPoolExecutor(threads) as pool:
        gatekeeper = _gatekeeper(engine, note_use)
        found = list(pool.map(lambda seed: ask(gatekeeper, limit, times, seed), range(threads)))
    engine.dispose()
    ends = sum((each for _, each in found), Counter[str]())
    said = {"counted": str(sum(each for each, _ in found)), "ends": ends}
    print(json.dumps(said))  # noqa: T201 read by the test


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Decimal(sys.argv[4]))
