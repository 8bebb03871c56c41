"""Tasks that ask the very same at the same moment share one call, and none suffers by another."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from threading import Barrier, Event

import pytest
from sqlalchemy import Engine

from fleet_contracts.errors import PermanentError, TransientError, Unavailable
from fleet_workers.models.asked_for import CacheRules
from fleet_workers.models.caching.assembly import with_cache
from fleet_workers.models.caching.in_flight import InFlight
from fleet_workers.models.messages import ChatModel, ChatReply, ChatRequest
from unit.models.caching.asking import Asked, again, ask, models_of, reply

SLOTS = 50


def test_fifty_slots_with_the_same_question_make_one_call(engine: Engine) -> None:
    model = Asked(_slow(reply(), 0.05))
    chain = with_cache(model, engine=engine, models_of=models_of, meanings=None)
    first = ask()

    replies = _at_once(chain, [again(first) for _ in range(SLOTS)])

    assert len(model.requests) == 1
    assert Counter(each.source for each in replies)["model"] == 1
    assert {each.source for each in replies} <= {"model", "in_flight", "exact_cache"}
    assert sum(each.cost_usd or 0 for each in replies) == Decimal("0.02")
    assert sum(each.saved_usd or 0 for each in replies) == Decimal("0.02") * (SLOTS - 1)


def test_a_shared_reply_names_the_task_that_asked() -> None:
    model = Asked(_slow(reply(), 0.1))
    first = ask()

    replies = _at_once(_in_flight(model), [again(first) for _ in range(3)])

    asker = model.requests[0].asked_for
    assert asker is not None
    shared = [each for each in replies if each.source == "in_flight"]
    assert len(shared) == 2
    assert all(each.provenance == {"task": asker.task_id} for each in shared)
    assert all(each.tool_calls == reply().tool_calls for each in shared)
    assert all((each.prompt_tokens, each.completion_tokens) == (0, 0) for each in shared)


@pytest.mark.parametrize(
    ("change", "value"),
    [("tenant", "other"), ("customer", "C-2"), ("release", "r2"), ("text", "Where is order 8?")],
)
def test_other_questions_are_not_held_up(change: str, value: str) -> None:
    going, entered = Event(), Event()

    def answer(request: ChatRequest) -> ChatReply:
        if request.messages == first.messages and request.asked_for == first.asked_for:
            entered.set()
            assert going.wait(5)
        return reply()

    first, chain = ask(), _in_flight(Asked(answer))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(chain.complete, first)
        assert entered.wait(5)
        other = ask(value) if change == "text" else again(first, **{change: value})

        assert chain.complete(other).source == "model"
        going.set()
        assert waiting.result().source == "model"


def test_when_the_first_fails_one_of_those_that_wait_asks_next() -> None:
    model = Asked()

    def answer(_request: ChatRequest) -> ChatReply:
        time.sleep(0.05)
        if len(model.requests) <= 2:
            raise Unavailable("away") if len(model.requests) == 1 else PermanentError("refused")
        return reply()

    model.answer = answer
    first = ask()
    failed, replies = _outcomes(_in_flight(model), [again(first) for _ in range(10)])

    assert (len(failed), len(replies)) == (2, 8)
    assert len(model.requests) == 3


def test_a_slot_that_dies_with_a_fault_of_ours_harms_nobody() -> None:
    model = Asked()

    def answer(_request: ChatRequest) -> ChatReply:
        time.sleep(0.05)
        if len(model.requests) == 1:
            raise KeyboardInterrupt
        return reply()

    model.answer = answer
    first, chain = ask(), _in_flight(model)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(chain.complete, again(first)) for _ in range(2)]
        kinds = {type(each.exception()) for each in futures}

    assert kinds == {KeyboardInterrupt, type(None)}


def test_plans_with_a_write_are_not_shared_and_asked_for_side_by_side() -> None:
    model, others = Asked(), Barrier(9)

    def answer(request: ChatRequest) -> ChatReply:
        if request is not model.requests[0]:
            others.wait(5)  # none of them gets on if they ask one after another
        else:
            time.sleep(0.1)
        return reply(("refund", '{"amount": 5}'))

    model.answer = answer
    first = ask()

    replies = _at_once(_in_flight(model), [again(first) for _ in range(10)])

    assert [each.source for each in replies] == ["model"] * 10
    assert len(model.requests) == 10


def test_who_waits_does_so_within_its_own_time_and_has_spent_nothing() -> None:
    going, entered = Event(), Event()

    def answer(_request: ChatRequest) -> ChatReply:
        entered.set()
        assert going.wait(5)
        return reply()

    first, chain = ask(), _in_flight(Asked(answer))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(chain.complete, first)
        assert entered.wait(5)
        hurried = replace(again(first), timeout_seconds=0.05)

        with pytest.raises(TransientError) as raised:
            chain.complete(hurried)
        going.set()
        waiting.result()

    assert type(raised.value) is Unavailable  # a TimedOut would count as spent


def test_who_asks_next_has_only_the_time_that_is_left() -> None:
    model = Asked()

    def answer(_request: ChatRequest) -> ChatReply:
        time.sleep(0.1)
        if len(model.requests) == 1:
            raise Unavailable("away")
        return reply()

    model.answer = answer
    first = replace(ask(), timeout_seconds=1.0)
    _outcomes(_in_flight(model), [again(first) for _ in range(2)])

    assert model.requests[1].timeout_seconds < 0.95


@pytest.mark.parametrize(
    "changes", [{"flagged": True}, {"caching": CacheRules(exact=False)}], ids=str
)
def test_who_may_not_share_asks_alone(changes: dict[str, object]) -> None:
    model = Asked(_slow(reply(), 0.05))
    first = ask(**changes)

    _at_once(_in_flight(model), [again(first) for _ in range(3)])

    assert len(model.requests) == 3


def _in_flight(model: ChatModel) -> InFlight:
    return InFlight(model, models_of=models_of)


def _slow(said: ChatReply, seconds: float) -> Callable[[ChatRequest], ChatReply]:
    def answer(_request: ChatRequest) -> ChatReply:
        time.sleep(seconds)
        return said

    return answer


def _at_once(model: ChatModel, requests: Sequence[ChatRequest]) -> list[ChatReply]:
    failed, replies = _outcomes(model, requests)
    assert not failed
    return replies


def _outcomes(
    model: ChatModel, requests: Sequence[ChatRequest]
) -> tuple[list[BaseException], list[ChatReply]]:
    barrier = Barrier(len(requests))

    def complete(request: ChatRequest) -> ChatReply:
        barrier.wait(5)
        return model.complete(request)

    with ThreadPoolExecutor(len(requests)) as pool:
        futures = [pool.submit(complete, each) for each in requests]
    failed = [error for each in futures if (error := each.exception()) is not None]
    return failed, [each.result() for each in futures if each.exception() is None]
