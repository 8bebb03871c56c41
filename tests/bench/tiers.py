"""What tiers save and cost: the same real messages with one model, with climbing, with estimates.

The models are classifiers that have seen more or fewer examples, so that their errors, and how sure
they are of them, are real; each states its own probability as its confidence. No message was seen
by any of them, nor when the estimate's weights were learned.
"""

import csv
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from bench.figures import Figure, Remark, Said
from bench.traffic.classifiers import Classifier, make_models
from bench.traffic.endpoint import PRICES
from bench.traffic.messages import FOLDER, Corpus, Message, load_corpus
from fleet_contracts.outcome import OutcomeKind
from fleet_workers.agents import AgentRelease, load_catalogue
from fleet_workers.agents.examples import Example
from fleet_workers.agents.tiers import TierSection
from fleet_workers.models.candidates import TIERS
from fleet_workers.models.control import ANSWER
from fleet_workers.models.difficulty import difficulty_of
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall
from fleet_workers.testing import run_agent
from fleet_workers.tools import ToolRegistry

_MESSAGES: Final = 1000
_EXAMPLES: Final = 6  # an intent, in the agent's examples.jsonl
_CHARACTERS_A_TOKEN: Final = 4
_REVIEW_BELOW: Final = 0.7
_EXAMPLES_LEARNT: Final = {"small": 12, "medium": 30, "large": None}

_ARMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "all_large": {"tier": "large"},
    "all_small": {"tier": "small", "climb": False},
    "climb": {"tier": "small"},
    "climb_90": {"tier": "small", "climb_below": 0.9},
    "climb_97": {"tier": "small", "climb_below": 0.97},
    "estimate": {"tier": "auto", "climb": False},
    "estimate_climb": {"tier": "auto"},
    "estimate_climb_90": {"tier": "auto", "climb_below": 0.9},
    "estimate_climb_97": {"tier": "auto", "climb_below": 0.97},
}
"""What the agent's file says in each; a number is the confidence to climb under."""


@dataclass
class _Model:
    """A classifier that answers as a model, and its bill."""

    tier: str
    classifier: Classifier
    calls: int = 0
    cost_usd: Decimal = Decimal(0)

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer with the intent of the customer's words."""
        guess = self.classifier.guess(str(request.messages[-1]["content"]))
        said = {"text": _answer_to(guess.intent), "confidence": round(guess.probability, 4)}
        told = ToolCall(id=f"{self.tier}_{self.calls}", name=ANSWER, arguments=json.dumps(said))
        prompt = len(json.dumps([request.messages, request.tools])) // _CHARACTERS_A_TOKEN
        completion = len(told.arguments) // _CHARACTERS_A_TOKEN
        fresh, _, output = map(Decimal, PRICES[self.tier])
        self.calls += 1
        self.cost_usd += (fresh * prompt + output * completion) / 1_000_000
        return ChatReply(
            text=None,
            tool_calls=(told,),
            model=f"bench-{self.tier}",
            finish_reason="tool_calls",
            prompt_tokens=prompt,
            completion_tokens=completion,
            duration_seconds=0.0,
        )


@dataclass
class _Arm:
    """What came of the messages with one way to choose tiers."""

    came_to: Counter[str] = field(default_factory=Counter)
    calls: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal = Decimal(0)


def measure() -> Iterator[Said]:
    """Run every message through the control loop once an arm, without servers."""
    corpus = _bank_only(load_corpus())
    classifiers = make_models(corpus, _EXAMPLES_LEARNT)
    sent = corpus.sent[:_MESSAGES]
    yield Remark(
        text=f"tiers: {len(sent)} messages of banking77; answers under {_REVIEW_BELOW} go to people"
    )
    for tier in TIERS:
        right = sum(classifiers[tier].guess(each.text).intent == each.intent for each in sent)
        yield Figure(name=f"tiers.{tier}_model_right", value=100 * right / len(sent), unit="%")
    yield _estimate_cost(sent, corpus)
    release = _release(corpus)
    arms = {name: _run(release, said, classifiers, sent) for name, said in _ARMS.items()}
    for name, arm in arms.items():
        yield from _figures(f"tiers.{name}", arm, arms["all_large"].cost_usd, len(sent))


def _bank_only(corpus: Corpus) -> Corpus:
    with (FOLDER / "banking77_train.csv").open(encoding="utf-8", newline="") as file:
        intents = {_name(row["category"]) for row in csv.DictReader(file)}
    known = [each for each in corpus.known if _name(each.intent) in intents]
    return Corpus(known=known, sent=[each for each in corpus.sent if _name(each.intent) in intents])


def _name(intent: str) -> str:
    """As the name of an intent in an agent's examples."""
    return intent.lower().rstrip("?")


def _examples(corpus: Corpus) -> list[Message]:
    counts: Counter[str] = Counter()
    chosen = []
    for each in corpus.known:
        counts[each.intent] += 1
        if counts[each.intent] <= _EXAMPLES:
            chosen.append(each)
    return chosen


def _release(corpus: Corpus) -> AgentRelease:
    """The bundled billing agent without its tools, with examples of each intent."""
    examples = tuple(
        Example(text=each.text, intent=_name(each.intent)) for each in _examples(corpus)
    )
    release = load_catalogue(()).get("billing")
    return replace(release, tools=ToolRegistry([]), examples=examples)


def _run(
    release: AgentRelease,
    said: Mapping[str, Any],
    classifiers: Mapping[str, Classifier],
    sent: Sequence[Message],
) -> _Arm:
    section = TierSection.model_validate({k: v for k, v in said.items() if k != "tier"})
    update = {"tier": said["tier"], "tiers": section, "review_below": _REVIEW_BELOW}
    release = replace(release, manifest=release.manifest.model_copy(update=update))
    models = {tier: _Model(tier, classifiers[tier]) for tier in TIERS}
    arm = _Arm()
    for message in sent:
        run = run_agent(release, message.text, model=models, tools={})
        if run.outcome.kind is not OutcomeKind.ANSWERED:
            arm.came_to["to_people"] += 1
        elif run.answer != _answer_to(message.intent):
            arm.came_to["wrong"] += 1
    arm.calls = {tier: model.calls for tier, model in models.items()}
    arm.cost_usd = sum((model.cost_usd for model in models.values()), Decimal(0))
    return arm


def _answer_to(intent: str) -> str:
    return f"Please read our page on {intent.replace('_', ' ')}."


def _estimate_cost(sent: Sequence[Message], corpus: Corpus) -> Figure:
    examples = tuple((each.text, each.intent) for each in _examples(corpus))
    difficulty_of("", examples)
    begun = time.thread_time()
    for message in sent:
        difficulty_of(message.text, examples)
    each_ms = (time.thread_time() - begun) / len(sent) * 1000
    return Figure(name="tiers.estimate_processor", value=each_ms, unit="ms/text")


def _figures(name: str, arm: _Arm, all_large_usd: Decimal, tasks: int) -> Iterator[Said]:
    yield Figure(name=f"{name}_cost", value=1000 * float(arm.cost_usd) / tasks, unit="USD/1000")
    ratio = float(arm.cost_usd / all_large_usd)
    yield Figure(name=f"{name}_cost_ratio", value=ratio, unit="of all_large")
    for what in ("wrong", "to_people"):
        yield Figure(
            name=f"{name}_{what}", value=100 * arm.came_to[what] / tasks, unit="% of tasks"
        )
    for tier in TIERS:
        share = 100 * arm.calls[tier] / sum(arm.calls.values())
        yield Figure(name=f"{name}_{tier}_calls", value=share, unit="% of calls")
