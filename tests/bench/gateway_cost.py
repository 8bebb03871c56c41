"""The gateway beside a bare `openai` client: the same questions at the same pace, by turns."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import openai

from bench.figures import Figure, Said, percentile, spread
from bench.model_call import ask_messages, model_stub
from bench.processor import Disturbed
from fleet_workers.models.asking import Asking
from fleet_workers.models.candidates import MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import ChatRequest
from fleet_workers.models.prices import load_prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.redis_link import open_link
from support.stacks import open_stack

_CALLS_PER_SECOND = 200
_CALLS = 600
_ROUNDS = 6
_SLOTS = 100
_DELAY_SECONDS = 0.02
_MOST_LATE = 0.2  # of the calls may begin more than 5 ms late, else the machine was too busy
_LATE_SECONDS = 0.005
_MODEL = "stub"


@dataclass
class _Side:
    """What one of the two has taken, in seconds: `own_seconds` is its thread on the processor."""

    ask: Callable[[], object]
    seconds: list[float] = field(default_factory=list)
    own_seconds: list[float] = field(default_factory=list)
    processor: float = 0.0
    late: int = 0


def measure() -> Iterator[Said]:
    """Ask 200 times a second, in turns of three seconds a side; the order changes every round."""
    with open_stack("rabbitmq") as stack, model_stub(_DELAY_SECONDS) as url:
        link = open_link(stack.redis_url)
        gateway = _gateway(f"{url}/v1", Breakers(link=link))
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="bench", max_retries=0, timeout=60)
        messages, tools = ask_messages()
        sides = {
            "gateway": _Side(lambda: gateway.complete(ChatRequest(messages=messages, tools=tools))),
            "bare_openai": _Side(lambda: _ask_bare(client, messages, tools)),
        }
        try:
            with ThreadPoolExecutor(_SLOTS) as slots:
                for side in sides.values():
                    _take_turn(side, slots)
                sides = {name: _Side(each.ask) for name, each in sides.items()}
                for turn in range(_ROUNDS):
                    for name in sorted(sides, reverse=bool(turn % 2)):
                        _take_turn(sides[name], slots)
        finally:
            gateway.close()
            client.close()
            link.close()
    yield from _figures(sides["gateway"], sides["bare_openai"])


def _gateway(url: str, breakers: Breakers) -> Gateway:
    return Gateway(
        addresses=[Address(name=MAIN, base_url=url, api_key="bench")],
        candidates={"small": [Candidate(model=_MODEL)]},
        breakers=breakers,
        prices=load_prices(None),
        asking=Asking(capabilities=Capabilities()),
    )


def _ask_bare(client: openai.OpenAI, messages: list[Any], tools: list[Any]) -> object:
    return client.chat.completions.create(
        model=_MODEL, messages=messages, tools=tools, tool_choice="auto"
    )


def _take_turn(side: _Side, slots: ThreadPoolExecutor) -> None:
    used, begun = time.process_time(), time.monotonic() + 0.05
    due = [begun + each / _CALLS_PER_SECOND for each in range(_CALLS)]
    for seconds, own_seconds, late in slots.map(lambda at: _call(side.ask, at), due):
        side.seconds.append(seconds)
        side.own_seconds.append(own_seconds)
        side.late += late > _LATE_SECONDS
    side.processor += time.process_time() - used


def _call(ask: Callable[[], object], at: float) -> tuple[float, float, float]:
    """Seconds that a call took, of those on the processor, and how late it began."""
    time.sleep(max(0.0, at - time.monotonic()))
    begun, own_begun = time.monotonic(), time.thread_time()
    ask()
    return time.monotonic() - begun, time.thread_time() - own_begun, begun - at


def _figures(gateway: _Side, bare: _Side) -> Iterator[Said]:
    sides = {"gateway": gateway, "bare_openai": bare}
    for name, side in sides.items():
        each_ms = side.processor / len(side.seconds) * 1000
        yield Figure(name=f"gateway.{name}_processor", value=each_ms, unit="ms/call")
        yield from spread(f"gateway.{name}_thread_processor", side.own_seconds, 0.5, 0.99)
    late = (gateway.late + bare.late) / (len(gateway.seconds) + len(bare.seconds))
    if late > _MOST_LATE:
        raise Disturbed(f"{late:.0%} of the calls began late.")
    for name, side in sides.items():
        yield from spread(f"gateway.{name}", side.seconds, 0.5, 0.99)
    for share in (0.5, 0.99):
        over = percentile(gateway.seconds, share) - percentile(bare.seconds, share)
        yield Figure(name=f"gateway.overhead_p{share * 100:.0f}", value=over * 1000, unit="ms")
