"""Batching beside none: the same real messages at the same moments, by turns, to one endpoint."""

import csv
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bench.figures import Figure, Remark, Said, percentile
from bench.model_call import serve_program
from fleet_contracts.envelope import build_envelope
from fleet_workers.agents import AgentRelease, load_release
from fleet_workers.agents.batching import BatchingSection
from fleet_workers.controller.asked import asked_by_agent
from fleet_workers.controller.conversation import build_tools, hold_conversation
from fleet_workers.controller.expenses import most_input_tokens
from fleet_workers.controller.situation import Situation
from fleet_workers.models.asking import Asking
from fleet_workers.models.batching.link import Batched
from fleet_workers.models.batching.neighbours import takes_from_others
from fleet_workers.models.candidates import MAIN, Candidate
from fleet_workers.models.capabilities import Capabilities
from fleet_workers.models.endpoint import Address
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.messages import AskAgain, ChatModel, ChatReply, ChatRequest
from fleet_workers.models.prices import Price, Prices
from fleet_workers.rails.inbound import inbound_signals
from fleet_workers.resilience.breakers import Breakers

_DATA = Path(__file__).parents[3] / "shared/data"
_BITEXT = _DATA / "intent/bitext_support.csv"
_ATTACKS = _DATA / "injection/bipia_text_attack_train.json"
_VALIDATION = _DATA / "injection/slabs_validation.csv"
_AGENT = Path(__file__).parents[2] / "workers/fleet_workers/agents/billing"

_RATES = (1, 10, 50, 100)  # tasks a second
_SECONDS = 6.0
_LEAST_TASKS = 12
_SLOTS = 300  # more than a worker has, so that nobody waits for one
_MOST = 8
_WAIT_MS = 100
_TRIES = 2000  # batches of real requests and replies whose words are compared
_PRICE = Price(input_usd=Decimal("0.15"), output_usd=Decimal("0.60"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What came of one turn at one rate."""

    seconds: list[float]
    replies: list[ChatReply]
    calls: int

    @property
    def tokens(self) -> int:
        return sum(each.prompt_tokens + each.completion_tokens for each in self.replies)

    @property
    def cost_usd(self) -> Decimal:
        return sum((each.cost_usd or Decimal(0) for each in self.replies), Decimal(0))


class _Counting:
    """Counts the calls that go out."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.calls = 0

    def complete(self, request: ChatRequest) -> ChatReply:
        self.calls += 1
        return self._model.complete(request)


def measure() -> Iterator[Said]:
    """Each rate with and without, on Poisson arrivals; then what real words say of the checks."""
    if not _BITEXT.is_file():
        yield Remark(text=f"batching: skipped, for {_BITEXT.name} is missing in ../shared/data")
        return
    with _BITEXT.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    requests = _requests([row["instruction"] for row in rows])
    with serve_program("batch_stub.py") as url:
        for rate in _RATES:
            chance = random.Random(rate)
            number = max(_LEAST_TASKS, int(rate * _SECONDS))
            due = list(_arrivals(rate, number, chance))
            asked = chance.sample(requests, number)
            off = _take_turn(url, asked, due, lambda model: model)
            on = _take_turn(url, asked, due, _batched)
            yield from _figures(rate, off, on)
    yield _false_alarms(rows)
    yield from _flagged()


def _requests(texts: Sequence[str]) -> list[ChatRequest]:
    release = load_release(_AGENT)
    section = BatchingSection(most=_MOST, longest_wait_ms=_WAIT_MS)
    release = _with(release, section)
    return [_request(release, text, number) for number, text in enumerate(texts)]


def _with(release: AgentRelease, section: BatchingSection) -> AgentRelease:
    manifest = release.manifest.model_copy(update={"batching": section})
    return AgentRelease(
        id=release.id, manifest=manifest, prompt=release.prompt, tools=release.tools
    )


def _request(release: AgentRelease, text: str, number: int) -> ChatRequest:
    envelope = build_envelope(
        tenant="acme", agent=release.name, input=text, customer=f"cus_{number}"
    )
    situation = Situation(release=release, envelope=envelope, steps=())
    conversation = hold_conversation(situation)
    return ChatRequest(
        messages=conversation.messages,
        tools=list(build_tools(release)),
        asked_for=asked_by_agent(situation, conversation),
    )


def _arrivals(rate: float, number: int, chance: random.Random) -> Iterator[float]:
    at = 0.2
    for _ in range(number):
        yield at
        at += chance.expovariate(rate)


def _batched(model: ChatModel) -> ChatModel:
    return Batched(model, prices=Prices(by_model={"stub": _PRICE}), most_tokens=most_input_tokens)


def _take_turn(
    url: str,
    asked: Sequence[ChatRequest],
    due: Sequence[float],
    chain: Callable[[ChatModel], ChatModel],
) -> _Turn:
    gateway = Gateway(
        addresses=[Address(name=MAIN, base_url=f"{url}/v1", api_key="bench")],
        candidates={"small": [Candidate(model="stub")]},
        breakers=Breakers(),
        prices=Prices(by_model={"stub": _PRICE}),
        asking=Asking(capabilities=Capabilities()),
    )
    counting = _Counting(gateway)
    model = chain(counting)
    begun = time.monotonic()

    def ask(request: ChatRequest, at: float) -> tuple[float, ChatReply]:
        time.sleep(max(0.0, begun + at - time.monotonic()))
        while True:
            with suppress(AskAgain):  # which the loop does as well
                reply = model.complete(request)
                return time.monotonic() - begun - at, reply

    try:
        with ThreadPoolExecutor(_SLOTS) as slots:
            ended = list(slots.map(ask, asked, due))
    finally:
        gateway.close()
    return _Turn(
        seconds=[each for each, _ in ended],
        replies=[each for _, each in ended],
        calls=counting.calls,
    )


def _figures(rate: int, off: _Turn, on: _Turn) -> Iterator[Said]:
    name = f"batching.at_{rate}"
    yield Figure(name=f"{name}.calls", value=on.calls / off.calls, unit="on/off")
    yield Figure(name=f"{name}.calls_saved", value=_saved(on.calls, off.calls), unit="%")
    yield Figure(name=f"{name}.tokens_saved", value=_saved(on.tokens, off.tokens), unit="%")
    yield Figure(name=f"{name}.cost_saved", value=_saved(on.cost_usd, off.cost_usd), unit="%")
    shared = sum(each.source == "batch" for each in on.replies) / len(on.replies)
    yield Figure(name=f"{name}.shared", value=shared * 100, unit="% of tasks")
    for share in (0.5, 0.95):
        alone = percentile(off.seconds, share) * 1000
        together = percentile(on.seconds, share) * 1000
        of = f"p{share * 100:.0f}"
        yield Figure(name=f"{name}.latency_off_{of}", value=alone, unit="ms")
        yield Figure(name=f"{name}.latency_on_{of}", value=together, unit="ms")
        yield Figure(name=f"{name}.latency_added_{of}", value=together - alone, unit="ms")


def _saved(on: Decimal | int, off: Decimal | int) -> float:
    return (1 - float(on) / float(off)) * 100


def _false_alarms(rows: Sequence[dict[str, str]]) -> Figure:
    """Batches of real requests and replies in which somebody seems to speak for another."""
    chance = random.Random(1)
    alarms = sum(_is_alarm(chance.sample(rows, _MOST)) for _ in range(_TRIES))
    return Figure(
        name=f"batching.false_alarms_of_{_MOST}", value=alarms / _TRIES * 100, unit="% of batches"
    )


def _is_alarm(members: Sequence[dict[str, str]]) -> bool:
    words = [each["instruction"] for each in members]
    return any(
        takes_from_others(
            each["response"], own=each["instruction"], others=[*words[:place], *words[place + 1 :]]
        )
        for place, each in enumerate(members)
    )


def _flagged() -> Iterator[Said]:
    """How many injected texts go alone, since the inbound rails see signs in them."""
    if not (_ATTACKS.is_file() and _VALIDATION.is_file()):
        yield Remark(text="batching: injected texts are missing in ../shared/data/injection")
        return
    attacks = [each for texts in json.loads(_ATTACKS.read_text()).values() for each in texts]
    with _VALIDATION.open(encoding="utf-8") as lines:
        injected = [row["text"] for row in csv.DictReader(lines) if row["label"] == "1"]
    for name, texts in (("attacks_within_texts", attacks), ("injections", injected)):
        found = sum(bool(inbound_signals(text)) for text in texts)
        yield Figure(name=f"batching.{name}_alone", value=found / len(texts) * 100, unit="%")
