"""Requests in flight together share calls; each gets its own answer and pays its own share."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fleet_workers.models.asked_for import BatchRules
from support.batch_model import BatchModel, holding, requests_in
from support.model_endpoint import model_endpoint
from unit.models.batching.members import Ended, ask, ask_at_once, member


def said(ended: Ended) -> str:
    (call,) = ended.reply.tool_calls
    return str(json.loads(call.arguments)["text"])


@pytest.mark.parametrize("number", [1, 10, 50])
def test_each_gets_its_own_answer_and_no_cent_is_lost(link: Any, number: int) -> None:
    model, patient = BatchModel(wait=0.1), BatchRules(most=50, longest_wait_seconds=2.0)
    with model_endpoint(holding(model)) as endpoint:
        requests = [member(each, batching=patient) for each in range(number)]
        ended = ask_at_once(link(endpoint.url), requests)
    assert [said(each) for each in ended] == [
        f"I am customer {each:04d}." for each in range(number)
    ]
    # I expect one call for the first, and one or two for all that came while it was under way
    assert len(endpoint.asked) == 1 if number == 1 else 2 <= len(endpoint.asked) <= 4
    cost = sum((each.reply.cost_usd or Decimal(0) for each in ended), Decimal(0))
    charged = model.cost_usd(input_usd=1, output_usd=10)
    assert charged <= cost <= charged + Decimal("0.000001")
    shared = [each.reply for each in ended if each.reply.source == "batch"]
    assert len(shared) >= number - 3
    for reply in shared:
        assert reply.saved_usd is not None
        assert reply.saved_usd > 0
        assert reply.provenance["members"] > 1
        assert reply.finish_reason == "tool_calls"


def test_tokens_are_counted_once(link: Any) -> None:
    model = BatchModel(wait=0.1)
    with model_endpoint(model) as endpoint:
        ended = ask_at_once(link(endpoint.url), [member(each) for each in range(20)])
    for name in ("prompt_tokens", "completion_tokens"):
        assert sum(getattr(each.reply, name) for each in ended) == sum(
            each[name] for each in model.usages
        )


def test_an_idle_link_waits_for_nobody(link: Any) -> None:
    slow = BatchRules(most=10, longest_wait_seconds=4.0)
    with model_endpoint(BatchModel()) as endpoint:
        opened = link(endpoint.url)
        for number in range(3):
            ended = ask(opened, member(number, batching=slow))
            assert ended.reply.source == "model"
            assert ended.seconds < 1.0


def test_who_waits_goes_when_the_call_before_returns(link: Any) -> None:
    slow = BatchRules(most=10, longest_wait_seconds=4.0)
    with model_endpoint(holding(BatchModel(wait=0.2))) as endpoint:
        ended = ask_at_once(link(endpoint.url), [member(each, batching=slow) for each in range(4)])
    assert len(endpoint.asked) == 2
    assert max(each.seconds for each in ended) < 2.0


def test_who_waits_goes_when_the_longest_wait_is_over(link: Any) -> None:
    with model_endpoint(BatchModel(wait=1.0)) as endpoint, ThreadPoolExecutor(3) as slots:
        opened = link(endpoint.url)
        first = slots.submit(ask, opened, member(0))
        while not len(endpoint.asked):
            time.sleep(0.005)
        others = [slots.submit(ask, opened, member(each)) for each in (1, 2)]
        assert not first.done()
        while len(endpoint.asked) < 2:
            time.sleep(0.005)
        assert not first.done()
        assert [each.result().reply.provenance["members"] for each in others] == [2, 2]


@pytest.mark.parametrize(
    ("rules", "largest"),
    [
        (BatchRules(most=4, longest_wait_seconds=0.2), 4),
        (BatchRules(most=50, most_tokens=100, longest_wait_seconds=0.2), 10),
    ],
)
def test_a_batch_has_a_largest_size(link: Any, rules: BatchRules, largest: int) -> None:
    with model_endpoint(BatchModel(wait=0.1)) as endpoint:
        ended = ask_at_once(
            link(endpoint.url), [member(each, batching=rules) for each in range(30)]
        )
    assert {type(each.told).__name__ for each in ended} == {"ChatReply"}
    sizes = [len(found) for body in endpoint.asked.bodies if (found := requests_in(body))]
    assert 1 < max(sizes) <= largest


def test_the_words_of_each_stand_under_an_id_that_nobody_can_know(link: Any) -> None:
    with model_endpoint(BatchModel(wait=0.1)) as endpoint:
        opened = link(endpoint.url)
        for _ in range(2):
            ask_at_once(opened, [member(each, "The same words.") for each in range(6)])
    found = [requests_in(body) for body in endpoint.asked.bodies]
    ids = [each["id"] for members in found if members for each in members]
    assert len(set(ids)) == len(ids) >= 8
    bodies = [body for body, members in zip(endpoint.asked.bodies, found, strict=True) if members]
    heads = {body["messages"][0]["content"] for body in bodies}
    assert len(heads) == 1  # a prefix cache hits on it
    assert "The same words." not in heads.pop()
    about = {each["about"] for members in found if members for each in members}
    assert about <= {f"The customer is c{each}." for each in range(6)}


@pytest.mark.parametrize(
    "apart",
    [
        {"flagged": True},
        {"personal": True},
        {"is_first": False},
        {"batching": BatchRules()},
        {"about": "Somebody else."},
    ],
)
def test_some_go_alone(link: Any, apart: dict[str, Any]) -> None:
    with model_endpoint(BatchModel(wait=0.05)) as endpoint:
        ask_at_once(link(endpoint.url), [member(each, **apart) for each in range(8)])
    assert len(endpoint.asked) == 8
    assert all(requests_in(body) is None for body in endpoint.asked.bodies)


def test_members_may_have_a_little_less_time_than_others(link: Any) -> None:
    # Given requests that came through other links, each with what is left of its time
    with model_endpoint(BatchModel(wait=0.1)) as endpoint:
        requests = [replace(member(each), timeout_seconds=20 - each / 100) for each in range(10)]
        ask_at_once(link(endpoint.url), requests)
        assert len(endpoint.asked) < 5


@pytest.mark.parametrize("field", ["tenant", "release", "agent"])
def test_nothing_is_shared_with_strangers(link: Any, field: str) -> None:
    with model_endpoint(BatchModel(wait=0.1)) as endpoint:
        requests = [member(each, **{field: f"of {each % 2}"}) for each in range(20)]
        ask_at_once(link(endpoint.url), requests)
    found = [requests_in(body) for body in endpoint.asked.bodies]
    shared = [[int(each["about"][17:-1]) % 2 for each in members] for members in found if members]
    assert shared
    assert all(len(set(each)) == 1 for each in shared)


def test_all_answers_together_may_be_as_long_as_each_could_be_alone(link: Any) -> None:
    with model_endpoint(BatchModel(wait=0.1)) as endpoint:
        requests = [replace(member(each), max_output_tokens=50) for each in range(9)]
        ask_at_once(link(endpoint.url), requests)
    sizes = {
        len(requests_in(body) or [body]): body["max_completion_tokens"]
        for body in endpoint.asked.bodies
    }
    assert sizes.pop(1) == 50
    assert sizes
    assert all(49 * number <= most <= 50 * number for number, most in sizes.items())


def test_what_costs_more_together_is_asked_apart(link: Any) -> None:
    # Given instructions that are shorter than what stands around several requests
    def short(number: int) -> Any:
        request = member(number)
        request.messages[0]["content"] = request.asked_for.about  # type: ignore[union-attr]
        request.tools.clear()
        request.tools.append({"type": "function", "function": {"name": "answer"}})
        return request

    def plan(words: str) -> tuple[str, dict[str, str]]:
        return "answer", {"text": words}

    with model_endpoint(BatchModel(plan=plan, wait=0.1)) as endpoint:
        ended = ask_at_once(link(endpoint.url), [short(each) for each in range(5)])
    assert {each.reply.source for each in ended} == {"model"}
    assert len(endpoint.asked) == 5
