"""Shared answers that are wrong, late or lost: every member ends as it would have alone."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from fleet_contracts.errors import (
    BreakerOpen,
    ConfigurationError,
    PermanentError,
    TimedOut,
    Unavailable,
)
from fleet_workers.models.asked_for import BatchRules
from fleet_workers.models.batching.link import Batched
from fleet_workers.models.messages import ChatReply, ChatRequest, Interrupted
from support.batch_model import BatchModel, Spoil, holding, requests_in
from support.model_endpoint import (
    Body,
    Told,
    chunk,
    completion,
    model_endpoint,
    refused,
    streamed,
    told,
    usage,
)
from unit.models.batching.conftest import most_tokens
from unit.models.batching.members import Ended, ask, ask_at_once, member
from unit.models.questions import PRICES

NUMBER = 8
RULES = BatchRules(most=NUMBER, longest_wait_seconds=1.0)


def members() -> list[ChatRequest]:
    """One for the first call, and as many as share the next."""
    return [member(number, batching=RULES) for number in range(NUMBER + 1)]


def said(ended: Ended) -> str:
    (call,) = ended.reply.tool_calls
    return str(json.loads(call.arguments)["text"])


def sizes(asked: Any) -> list[int]:
    return [len(found) if (found := requests_in(body)) else 1 for body in asked.bodies]


def finish(reason: str) -> Spoil:
    def spoil(answer: Body, _results: list[Body]) -> None:
        answer["choices"][0]["finish_reason"] = reason

    return spoil


def say(text: str) -> Spoil:
    def spoil(answer: Body, _results: list[Body]) -> None:
        answer["choices"][0]["message"]["content"] = text

    return spoil


WHOLE: dict[str, Spoil] = {
    "one is missing": lambda _answer, results: results.pop() and None,
    "one is there twice": lambda _answer, results: results.append(results[0]),
    "one is there twice in place of another": lambda _a, results: results[1].update(results[0]),
    "a foreign one": lambda _answer, results: results.append({**results[0], "id": "abc"}),
    "a foreign one in place of another": lambda _a, results: results[0].update(id="abc"),
    "ids are numbers": lambda _a, results: [each.update(id=1) for each in results] and None,
    "none at all": lambda _answer, results: results.clear(),
    "no JSON": say("I cannot do that."),
    "half of the JSON": say('{"results": [{"id": "'),
    "a list": say("[1, 2]"),
    "nested too deep": say("[" * 50_000),
    "cut short": finish("length"),
    "filtered": finish("content_filter"),
}


@pytest.mark.parametrize("spoil", WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_that_cannot_be_used_is_split_until_it_can(link: Any, spoil: Spoil) -> None:
    with model_endpoint(holding(BatchModel(spoil=spoil, wait=0.05))) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    assert [said(each) for each in ended] == [f"I am customer {each:04d}." for each in range(9)]
    assert {each.reply.source for each in ended} == {"model"}
    assert sorted(sizes(endpoint.asked)) == [1] * 9 + [2] * 4 + [4] * 2 + [8]
    shared = [each for each in ended if each.lost]
    assert len(shared) == NUMBER
    assert all(spent.cost_usd for each in shared for spent in each.lost)


def test_a_half_that_works_stays_together(link: Any) -> None:
    def spoil(answer: Body, results: list[Body]) -> None:
        if len(results) > NUMBER / 2:
            results.pop()

    with model_endpoint(holding(BatchModel(spoil=spoil, wait=0.05))) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    assert sorted(sizes(endpoint.asked)) == [1, 4, 4, 8]
    assert [said(each) for each in ended] == [f"I am customer {each:04d}." for each in range(9)]


def break_call(**changes: Any) -> Spoil:
    def spoil(_answer: Body, results: list[Body]) -> None:
        results[2]["calls"][0].update(changes)

    return spoil


ONE: dict[str, Spoil] = {
    "no tool of this agent": break_call(name="delete_account"),
    "no name": break_call(name=None),
    "arguments are no JSON": break_call(arguments='{"text": '),
    "arguments are a list": break_call(arguments="[]"),
    "nothing": lambda _answer, results: results[2].update(calls=[], text=" "),
    "calls are a text": lambda _answer, results: results[2].update(calls="answer"),
    "calls hold a text": lambda _answer, results: results[2].update(calls=["answer"]),
}


@pytest.mark.parametrize("spoil", ONE.values(), ids=ONE.keys())
def test_one_result_that_is_wrong_is_asked_alone(link: Any, spoil: Spoil) -> None:
    with model_endpoint(holding(BatchModel(spoil=spoil, wait=0.05))) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    assert sorted(sizes(endpoint.asked)) == [1, 1, 8]
    assert [said(each) for each in ended] == [f"I am customer {each:04d}." for each in range(9)]
    assert sorted(len(each.lost) for each in ended) == [0] * 8 + [1]
    (lost,) = [spent for each in ended for spent in each.lost]
    assert lost.cost_usd


def test_arguments_that_came_as_json_are_understood(link: Any) -> None:
    def spoil(_answer: Body, results: list[Body]) -> None:
        for each in results:
            each["calls"][0]["arguments"] = json.loads(each["calls"][0]["arguments"])

    with model_endpoint(holding(BatchModel(spoil=spoil, wait=0.05))) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    assert sorted(sizes(endpoint.asked)) == [1, 8]
    assert [said(each) for each in ended] == [f"I am customer {each:04d}." for each in range(9)]


def mix_up(_answer: Body, results: list[Body]) -> None:
    results[0]["calls"], results[1]["calls"] = results[1]["calls"], results[0]["calls"]


def test_results_that_are_mixed_up_are_asked_alone(link: Any) -> None:
    with model_endpoint(holding(BatchModel(spoil=mix_up, wait=0.05))) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    assert sorted(sizes(endpoint.asked)) == [1] * 9 + [8]
    assert [said(each) for each in ended] == [f"I am customer {each:04d}." for each in range(9)]


# --- endpoints in trouble ------------------------------------------------------------------------


def to_several(trouble: Told, *, wait: float = 0.05) -> Callable[[str, Body], Told]:
    """Trouble for requests that share a call, an answer for all others."""
    model = BatchModel(wait=wait)

    def answer(path: str, body: Body) -> Told:
        return model(path, body) if requests_in(body) is None else trouble

    return answer


HALF = [chunk({"content": '{"results"'}), {"choices": [], "usage": usage(5000, 10)}]


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (refused("Too many.", 429, Retry_After="7"), Unavailable),
        (refused("Oops.", 500), Unavailable),
        (refused("No key.", 401), ConfigurationError),
        (refused("Gone.", 504), TimedOut),
        (told({"choices": [], "usage": usage(5000, 10)}), Interrupted),
        (Told(parts=[b'{"choices"'], ends=False), Interrupted),
    ],
)
def test_trouble_reaches_every_member_by_its_class(
    link: Any, trouble: Told, error: type[Exception]
) -> None:
    with model_endpoint(holding(to_several(trouble))) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    failed = [each.told for each in ended if not isinstance(each.told, ChatReply)]
    assert [type(each) for each in failed] == [error] * NUMBER
    assert len({id(each) for each in failed}) == NUMBER
    if trouble.status == 429:
        assert {each.retry_after_seconds for each in failed} == {7}  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_lost_answer_took_is_shared(link: Any, stream: bool) -> None:
    lost = (
        streamed(HALF, done=False, ends=False)
        if stream
        else told({"choices": [], "usage": usage(5000, 10)})
    )
    with model_endpoint(holding(to_several(lost))) as endpoint:
        options = {"stall_seconds": 1.0} if stream else {}
        ended = ask_at_once(link(endpoint.url, **options), members())
    spent = [each.told.spent for each in ended if isinstance(each.told, Interrupted)]
    assert len(spent) == NUMBER
    assert sum(each.prompt_tokens for each in spent) == 5000
    assert sum(each.completion_tokens for each in spent) == 10
    cost = sum((each.cost_usd or Decimal(0) for each in spent), Decimal(0))
    assert Decimal("0.0051") <= cost <= Decimal("0.0051") + Decimal("0.0000001")


def test_a_refused_request_is_split_and_costs_nothing(link: Any) -> None:
    with model_endpoint(holding(to_several(refused("This is against our rules.")))) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    assert [said(each) for each in ended] == [f"I am customer {each:04d}." for each in range(9)]
    assert {spent.cost_usd for each in ended for spent in each.lost} == {Decimal(0)}


def test_who_is_refused_alone_is_refused_for_good(link: Any) -> None:
    def answer(path: str, body: Body) -> Told:
        if "0003" in json.dumps(body["messages"]):
            return refused("This is against our rules.")
        return BatchModel(wait=0.05)(path, body)

    with model_endpoint(holding(answer)) as endpoint:
        ended = ask_at_once(link(endpoint.url), members())
    assert isinstance(ended.pop(3).told, PermanentError)
    assert {type(each.told) for each in ended} == {ChatReply}


def test_a_dead_endpoint_opens_its_breaker_for_all(link: Any) -> None:
    opened = link("http://127.0.0.1:9/v1")
    kinds = {type(each.told) for _ in range(3) for each in ask_at_once(opened, members())}
    assert kinds <= {Unavailable, BreakerOpen}


def test_a_call_in_the_middle_of_a_timeout_keeps_nobody_longer(link: Any) -> None:
    model = BatchModel()

    def answer(path: str, body: Body) -> Told:
        said = model(path, body)
        return Told(parts=said.parts, wait=0.05 if requests_in(body) is None else 3.0)

    def hurried(number: int) -> ChatRequest:
        request = member(number, batching=RULES)
        return ChatRequest(
            messages=request.messages,
            tools=request.tools,
            timeout_seconds=0.5,
            asked_for=request.asked_for,
        )

    with model_endpoint(holding(answer, 0.2)) as endpoint:
        opened = link(endpoint.url)
        ended = ask_at_once(opened, [hurried(number) for number in range(5)])
        late = [number for number, each in enumerate(ended) if isinstance(each.told, TimedOut)]
        assert len(late) == 4
        assert max(each.seconds for each in ended) < 1.5
        # I expect the next attempt to share with fewer, and the last ones with nobody
        for _ in range(2):
            ended = ask_at_once(opened, [hurried(number) for number in late])
        assert {type(each.told) for each in ended} == {ChatReply}


# --- slots that are lost -------------------------------------------------------------------------


class Dies:
    """A model whose slot is ended from outside while it asks for several."""

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error
        self.alone: list[ChatRequest] = []
        self.first_is_asked = threading.Event()

    def complete(self, request: ChatRequest) -> ChatReply:
        if request.asked_for is None:
            raise self._error
        self.alone.append(request)
        self.first_is_asked.set()
        time.sleep(0.1)
        return ChatReply(
            text="Hello.",
            tool_calls=(),
            model="m",
            finish_reason="stop",
            prompt_tokens=1,
            completion_tokens=1,
            duration_seconds=0.1,
        )


@pytest.mark.parametrize(
    ("error", "kind"), [(SystemExit, Interrupted), (ZeroDivisionError, ChatReply)]
)
def test_a_slot_that_is_lost_loses_nobody_else(error: type[BaseException], kind: type) -> None:
    model = Dies(error)
    opened = Batched(model, prices=PRICES, most_tokens=most_tokens)
    ended: dict[int, Any] = {}

    def work(number: int) -> None:
        rules = BatchRules(most=10, longest_wait_seconds=2.0)
        with suppress(SystemExit):  # what a slot that is ended does
            ended[number] = ask(opened, member(number, batching=rules)).told

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    threads[0].start()
    model.first_is_asked.wait()
    for each in threads[1:]:
        each.start()
    for each in threads:
        each.join(timeout=10)
        assert not each.is_alive()
    assert type(ended.pop(0)) is ChatReply
    # A slot that ends takes its own task with it, whose lease runs out; the others go on.
    assert len(ended) == (2 if error is SystemExit else 3)
    assert {type(each) for each in ended.values()} == {kind}
    assert type(ask(opened, member(9)).told) is ChatReply


def test_an_answer_without_a_shared_form_is_asked_for_one_by_one(link: Any) -> None:
    # Given a model that cannot do it at all, as the offline model
    with model_endpoint(to_several(told(completion("Hello!")))) as endpoint:
        opened = link(endpoint.url)
        for _ in range(3):
            ask_at_once(opened, members())
        asked = len(endpoint.asked)
        ended = ask_at_once(opened, members())
    assert len(endpoint.asked) == asked + NUMBER + 1
    assert {each.reply.source for each in ended} == {"model"}
