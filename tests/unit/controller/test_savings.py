"""What is noted of a reply: what it took, and what tiers saved or cost extra."""

from decimal import Decimal
from typing import Any

import pytest

from fleet_contracts.envelope import build_envelope
from fleet_workers.agents.bounds import SpendLimits
from fleet_workers.controller.admission import ProposedQuestion
from fleet_workers.controller.expenses import use_of
from fleet_workers.models.messages import ChatReply, ChatRequest, Spent
from fleet_workers.models.prices import Price, Prices

PRICES = Prices(
    by_model={
        "small-1": Price(input_usd=Decimal(1), output_usd=Decimal(10)),
        "large-1": Price(input_usd=Decimal(10), output_usd=Decimal(100)),
    }
)


def question(*, climbs: bool = False) -> ProposedQuestion:
    return ProposedQuestion(
        request=ChatRequest(messages=[], tools=[], tier="small"),
        envelope=build_envelope(tenant="acme", agent="clerk", input="Hello"),
        agent="clerk",
        limits=SpendLimits(),
        key="k",
        highest_tier="large",
        climbs=climbs,
    )


def reply(model: str, **parts: Any) -> ChatReply:
    values: dict[str, Any] = {
        "text": "Hello.",
        "tool_calls": (),
        "model": f"{model}-2026-01-01",
        "candidate": model,
        "finish_reason": "stop",
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "duration_seconds": 0.0,
        "cost_usd": PRICES.cost_usd(model, input_tokens=1000, output_tokens=100),
    }
    return ChatReply(**{**values, **parts})


@pytest.mark.parametrize(
    ("took", "climbs", "saved"),
    [
        (reply("small-1"), False, "0.018"),
        (reply("small-1 at fallback"), False, "0.018"),
        (reply("large-1"), False, "0"),
        # One small call that would not do, and the large one that followed: 0.018 - 0.02
        (reply("large-1"), True, "-0.02"),
        # Others paid for it: what that saved stands beside
        (reply("small-1", source="exact_cache", cost_usd=Decimal(0)), False, "0"),
        (reply("free", cost_usd=None), False, "0"),
    ],
)
def test_tiers_save_what_the_highest_one_would_have_cost_more(
    took: ChatReply, climbs: bool, saved: str
) -> None:
    use = use_of(question(climbs=climbs), took, prices=PRICES, dearest="large-1")
    assert use.saved_by_tier_usd == Decimal(saved)
    assert use.model == took.candidate
    assert (use.tenant, use.agent, use.tier, use.source) == ("acme", "clerk", "small", took.source)


@pytest.mark.parametrize("dearest", [None, "unknown-1"])
def test_nothing_is_saved_by_a_tier_of_unknown_price(dearest: str | None) -> None:
    use = use_of(question(), reply("small-1"), prices=PRICES, dearest=dearest)
    assert use.saved_by_tier_usd == 0
    assert use.cost_usd == Decimal("0.002")


def test_a_share_of_an_answer_that_was_of_no_use_is_one_of_a_batch() -> None:
    share = Spent(model="small-1", source="batch", prompt_tokens=5, cost_usd=Decimal("0.001"))
    use = use_of(question(), share, prices=PRICES, dearest="large-1")
    assert (use.source, use.model, use.cost_usd) == ("batch", "small-1", Decimal("0.001"))


def test_an_answer_that_broke_off_is_noted_with_what_is_known() -> None:
    lost = Spent(model="small-1", prompt_tokens=5, completion_tokens=7)
    use = use_of(question(), lost, prices=PRICES, dearest="large-1")
    assert (use.model, use.prompt_tokens, use.completion_tokens) == ("small-1", 5, 7)
    assert use.cost_usd is None
