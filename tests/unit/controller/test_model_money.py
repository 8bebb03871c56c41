"""Money of model calls that fall back, break off or time out: reserved before, never too little."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fleet_contracts.states import TaskState
from fleet_workers.controller.expenses import most_input_tokens
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import FALLBACK, MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import AnswerSchema, ChatRequest
from fleet_workers.models.prices import Price, Prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimits
from support.model_endpoint import (
    Answering,
    Told,
    chunk,
    completion,
    model_endpoint,
    refused,
    streamed,
    told,
    usage,
)
from unit.controller.gated import GatedWorld

MOST = 100  # tokens of an answer
PRICES = Prices(
    by_model={
        "cheap": Price(input_usd=Decimal(0), output_usd=Decimal(1000)),
        "dear": Price(input_usd=Decimal(0), output_usd=Decimal(5000)),
    }
)
RESERVED_DEAR, RESERVED_CHEAP = Decimal("0.5"), Decimal("0.1")
END = {"function": {"name": "answer", "arguments": '{"text": "Done.", "confidence": 0.95}'}}
DONE = told(completion(None, tool_calls=[END], usage=usage(50, 20)))
BUSY = refused("Busy.", 429, Retry_After="1")


@contextmanager
def models(
    world: GatedWorld,
    first: Answering | list[Told],
    other: Answering | list[Told] | None = None,
    **asking: Any,
) -> Iterator[None]:
    """Let the world's workers ask these endpoints, the second being dearer, through a gateway."""
    with model_endpoint(first) as main, model_endpoint(other or [BUSY]) as fallback:
        addresses = [Address(name=MAIN, base_url=main.url, api_key="k")]
        found = [Candidate(model="cheap")]
        if other is not None:
            addresses.append(Address(name=FALLBACK, base_url=fallback.url, api_key="k"))
            found.append(Candidate(model="dear", endpoint=FALLBACK))
        gateway = Gateway(
            addresses=addresses,
            candidates={"small": found},
            breakers=Breakers(),
            prices=PRICES,
            asking=Asking(capabilities=Capabilities(), most_tokens=MOST, **asking),
        )
        gatekeeper = Gatekeeper(
            guards=Guards(breakers=Breakers(), limits=RateLimits(None), switches=world.board),
            engine=world.engine,
            prices=PRICES,
            models={"small": [str(each) for each in found]},
            max_output_tokens=MOST,
        )
        world.ports = replace(
            world.ports, model=gateway, admission=gatekeeper, model_timeout_seconds=1.0
        )
        try:
            yield
        finally:
            gateway.close()


def test_a_dearer_fallback_is_reserved_before_it_is_needed(world: GatedWorld) -> None:
    # Given a budget that the first model would keep to and the other one would not
    with models(world, [DONE], [DONE]):
        world.submit(budget_usd=Decimal("0.3"))
        world.settle()
        assert "dear at fallback for 0.50 USD" in world.review().reason
        assert world.entries("cost") == []


@pytest.mark.parametrize(("away", "cost"), [(False, "0.02"), (True, "0.1")])
def test_what_answered_is_what_is_paid(world: GatedWorld, away: bool, cost: str) -> None:
    with models(world, [BUSY if away else DONE], [DONE]):
        task_id = world.submit(budget_usd=RESERVED_DEAR)
        world.settle()
        assert world.state(task_id) == TaskState.SUCCEEDED
        assert world.entries("cost") == [("spent", Decimal(cost))]
        assert world.total(kind="cost") == Decimal(cost)


def test_a_refused_parameter_is_asked_again_under_the_same_reservation(world: GatedWorld) -> None:
    with models(world, [refused("Unknown: tool_choice"), DONE]):
        task_id = world.submit(budget_usd=RESERVED_CHEAP)
        world.settle()
        assert world.state(task_id) == TaskState.SUCCEEDED
        assert world.attempts(task_id) == 0
        assert world.entries("cost") == [("spent", Decimal("0.02"))]


HALF = [chunk({"content": "I"}), chunk({"content": " will"})]
SO_FAR = {"choices": [], "usage": usage(50, 7)}


@pytest.mark.parametrize(
    ("lost", "entry"),
    [
        (streamed(HALF, done=False, ends=False), RESERVED_CHEAP),
        (streamed([*HALF, SO_FAR], done=False, ends=False), Decimal("0.007")),
        (told({"choices": [], "usage": usage(50, 7)}), Decimal("0.007")),
        (told({"choices": []}), RESERVED_CHEAP),
    ],
)
def test_an_answer_that_breaks_off_is_paid_for_and_then_asked_for_anew(
    world: GatedWorld, lost: Told, entry: Decimal
) -> None:
    with models(world, [lost, DONE], stall_seconds=0.3):
        task_id = world.submit(budget_usd=Decimal("0.2"))
        world.work()
        assert world.state(task_id) == TaskState.RETRYING
        assert world.entries("cost") == [("spent", entry)]
        world.pass_time()
        world.sweep()
        world.settle()
        # I expect both calls in the budget, each under a reservation of its own
        assert world.state(task_id) == TaskState.SUCCEEDED
        assert world.total(f"task {task_id}", "cost") == entry + Decimal("0.02")


def test_answers_that_keep_breaking_off_end_with_the_budget(world: GatedWorld) -> None:
    asked: list[int] = []

    def answer(_path: str, _body: Any) -> Told:
        asked.append(1)
        return streamed(HALF, done=False, ends=False)

    with models(world, answer, stall_seconds=0.3):
        task_id = world.submit(budget_usd=Decimal("0.25"))
        for _ in range(4):
            world.work()
            world.pass_time()
            world.sweep()
        assert "0.20 USD are used up" in world.review().reason
        assert len(asked) == 2
        assert world.total(f"task {task_id}", "cost") == Decimal("0.2")


def test_an_answer_that_may_come_too_late_stays_reserved(world: GatedWorld) -> None:
    late = Told(parts=DONE.parts, wait=1.5)
    with models(world, [late, DONE]):
        task_id = world.submit(budget_usd=Decimal("0.2"))
        world.work()
        assert world.entries("cost") == [("reserved", RESERVED_CHEAP)]
        world.pass_time()
        world.sweep()
        world.settle()
        assert world.state(task_id) == TaskState.SUCCEEDED
        assert world.total(f"task {task_id}", "cost") == Decimal("0.12")


@pytest.mark.parametrize("text", ["", "plain", "é" * 50, "\U0001f600" * 9, '"quoted"\n'])
def test_a_schema_that_is_sent_in_words_is_reserved_for(text: str) -> None:
    messages = [{"role": "user", "content": text}]
    schema = AnswerSchema(name="a", schema={"type": "object", "title": text})
    request = ChatRequest(messages=messages, tools=[], answer_schema=schema)
    sent: list[int] = []

    def answer(_path: str, body: Any) -> Told:
        if "response_format" in body:
            return refused("No.", param="response_format")
        sent.append(sum(len(each["content"].encode()) for each in body["messages"]))
        return DONE

    with model_endpoint(answer) as endpoint:
        gateway = Gateway(
            addresses=[Address(name=MAIN, base_url=endpoint.url, api_key="k")],
            candidates={"small": [Candidate(model="cheap")]},
            breakers=Breakers(),
            prices=PRICES,
            asking=Asking(capabilities=Capabilities()),
        )
        gateway.complete(request)
        gateway.close()
    assert max(sent) <= most_input_tokens(request)
