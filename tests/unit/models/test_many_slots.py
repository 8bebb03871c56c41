"""One gateway for many slots at once, and the fleet's own offline model behind it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from fleet_workers.embedded.offline_model import create_app
from fleet_workers.models.candidates import FALLBACK
from fleet_workers.resilience.breakers import Breakers
from support.asgi_server import serving
from support.model_endpoint import Body, Told, completion, model_endpoint, refused, told
from unit.models.questions import TOOL, question

SLOTS = 40


def test_all_slots_find_out_at_once_and_each_gets_its_own_answer(gateway: Any) -> None:
    def answer(_path: str, body: Body) -> Told:
        if "tool_choice" in body:
            return refused("Unknown: tool_choice")
        return told(completion(body["messages"][-1]["content"]))

    begin = Barrier(SLOTS)
    with model_endpoint(answer) as endpoint, ThreadPoolExecutor(SLOTS) as slots:
        opened = gateway(endpoint.url)

        def ask(number: int) -> str | None:
            messages = [{"role": "user", "content": f"I am {number}."}]
            begin.wait()
            found: str | None = opened.complete(question(messages=messages)).text
            return found

        said = list(slots.map(ask, range(SLOTS)))
        assert said == [f"I am {number}." for number in range(SLOTS)]
        assert len(endpoint.asked) <= 2 * SLOTS
        opened.complete(question())
        assert "tool_choice" not in endpoint.asked.bodies[-1]


def test_an_endpoint_that_goes_away_under_load_is_left_for_the_other(gateway: Any) -> None:
    ok = told(completion("Hello."))
    away: list[bool] = []

    def answer(_path: str, _body: Body) -> Told:
        return refused("Busy.", 429, Retry_After="60") if away else ok

    breakers = Breakers(failures=5, open_seconds=60)
    with (
        model_endpoint(answer) as first,
        model_endpoint([ok]) as other,
        ThreadPoolExecutor(SLOTS) as slots,
    ):
        opened = gateway(first.url, other.url, breakers=breakers)
        before = list(slots.map(lambda _: opened.complete(question()), range(SLOTS)))
        away.append(True)
        after = list(slots.map(lambda _: opened.complete(question()), range(SLOTS * 3)))
        asked = len(first.asked) - SLOTS
    assert {each.endpoint for each in before} == {"main"}
    assert {each.endpoint for each in after} == {FALLBACK}
    assert asked <= SLOTS + 5  # those under way when the breaker opened


@pytest.fixture(scope="module")
def offline_url() -> Iterator[str]:
    with serving(create_app()) as url:
        yield f"{url}/v1"


def test_the_offline_model_answers_the_same_streamed_or_not(gateway: Any, offline_url: str) -> None:
    tool = {**TOOL, "function": {**TOOL["function"], "description": "Finds order ord_7."}}
    asked = question(tools=[tool])
    at_once = gateway(offline_url).complete(asked)
    streamed = gateway(offline_url, stall_seconds=5.0).complete(asked)
    assert at_once.offline
    assert [each.name for each in at_once.tool_calls] == ["find_order"]
    for name in ("text", "model", "finish_reason", "prompt_tokens", "completion_tokens", "offline"):
        assert getattr(at_once, name) == getattr(streamed, name)
    assert [(each.name, each.arguments) for each in at_once.tool_calls] == [
        (each.name, each.arguments) for each in streamed.tool_calls
    ]
    assert at_once.prompt_tokens > 10
