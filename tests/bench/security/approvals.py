"""Tries to make one approval serve for another action: by retries, restarts and new plans.

Each round is one task of an agent that pays after approval. Its plans hold up to three payments;
its workers die and its tool fails at random, two people decide at once (the store lets one of
them), decisions are delivered again at any later time, plans are changed behind their approval,
and the policy changes. Whatever is paid is held against what was approved: this plan, this call,
these arguments.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from bench.figures import Figure, Said
from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.errors import TransientError, Unavailable
from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.manifest import ApprovalRule, Limits, Manifest, Scope
from fleet_workers.agents.release import AgentRelease
from fleet_workers.controller.decision import Park
from fleet_workers.controller.loop import run_loop
from fleet_workers.controller.ports import Ports
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall
from fleet_workers.review.decisions import DECISION_STEP, Ruling, decision_step
from fleet_workers.store.journal import Step, StepKind
from fleet_workers.store.memory_journal import MemoryJournal
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.tools import Tool, ToolContext, ToolRegistry, tool

_ROUNDS = 10_000
_SEED = 20_261_124
_RUNS_A_ROUND = 12
_PEOPLE = ("ann", "bob")
_AMOUNTS = (5, 50, 500, 5000)
Act = tuple[int, int, str]
"""A plan's step, the call's place in it, and its arguments."""


@tool(effect="write", repeat="idempotent", stakes="high", trusted=True, money="amount")
def pay(context: ToolContext, recipient: str, amount: int) -> str:
    """Pay somebody."""
    return "paid"


@dataclass
class Round:
    """One task, what was paid in it, and what people said about which act."""

    chance: random.Random
    envelope: TaskEnvelope
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    said: dict[Act, Ruling] = field(default_factory=dict)
    steps_said: list[dict[str, Any]] = field(default_factory=list)
    paid: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    strict: bool = False

    def complete(self, _request: ChatRequest) -> ChatReply:
        """Up to three payments to few people, so that equal ones meet; or the end."""
        if self.chance.random() < 0.15:
            calls = (_call("answer", {"text": "It is done.", "confidence": 0.9}),)
        else:
            count = self.chance.choice((1, 1, 2, 3))
            calls = tuple(_call("pay", self._arguments()) for _ in range(count))
        return ChatReply(
            text=None,
            tool_calls=calls,
            model="script",
            finish_reason="tool_calls",
            prompt_tokens=1,
            completion_tokens=1,
            duration_seconds=0.0,
        )

    def call(
        self,
        _tool: Tool,
        arguments: dict[str, object],
        *,
        key: str,
        fence: Callable[[], None],
        **_others: Any,
    ) -> object:
        """Pay once a key, fail at random before or after, and judge."""
        fence()
        if self.chance.random() < 0.2:
            raise Unavailable("the bank is away")
        _, plan, place = key.rsplit(":", 2)
        self._judge((int(plan), int(place), _text(arguments)), key)
        if self.chance.random() < 0.2:
            raise Unavailable("the bank's answer was lost")
        return "paid"

    def _judge(self, act: Act, key: str) -> None:
        if self.said.get(act) is not Ruling.APPROVE and key not in self.paid:
            self.faults.append(f"{act} was paid and {self.said.get(act, 'never approved')}")
        if self.paid.setdefault(key, act[2]) != act[2]:
            self.faults.append(f"{key} was paid with two sets of arguments")

    def _arguments(self) -> dict[str, object]:
        return {
            "recipient": self.chance.choice(("acc_1", "acc_2")),
            "amount": self.chance.choice(_AMOUNTS),
        }


def measure() -> Iterator[Said]:
    """Play the rounds; each has a seed of its own, which a fault is told with."""
    faults, paid, decided = [], 0, 0
    for number in range(_ROUNDS):
        played = play(_SEED + number)
        faults += [f"seed {_SEED + number}: {each}" for each in played.faults]
        paid += len(played.paid)
        decided += len(played.said)
    for each in faults[:10]:
        yield Figure(name="security.approval_fault", value=1, unit=each)
    yield Figure(name="security.approval_rounds", value=_ROUNDS, unit="rounds")
    yield Figure(name="security.approval_decisions", value=decided, unit="acts decided")
    yield Figure(name="security.approval_payments", value=paid, unit="payments")
    yield Figure(name="security.approval_cross_bindings", value=len(faults), unit="payments")


def play(seed: int) -> Round:
    """One task under fire."""
    chance = random.Random(seed)
    asked = f"Pay acc_1 or acc_2 {', '.join(map(str, _AMOUNTS))}."
    envelope = build_envelope(tenant="acme", agent="clerk", input=asked)
    played = Round(chance=chance, envelope=envelope)
    ports = Ports(model=played, tools=played, recall=lambda _: [], model_timeout_seconds=1)
    for _ in range(_RUNS_A_ROUND):
        try:
            decision = run_loop(
                agent="clerk",
                envelope=envelope,
                catalogue=AgentCatalogue([_release(played.strict)]),
                journal=played.journal,
                ports=ports,
            )
        except TransientError:
            _disturb(played)
            continue
        if not isinstance(decision, Park) or "tool" not in decision.proposal:
            break
        _decide(played, decision)
        _disturb(played)
    return played


def _decide(played: Round, parked: Park) -> None:
    """One of the people who decide at once is heard; decisions of old items come again."""
    item = _item(played.envelope.id, parked, played.chance.choice(_PEOPLE))
    ruling = played.chance.choice((Ruling.APPROVE, Ruling.APPROVE, Ruling.REJECT))
    proposal = item.packet["proposal"]
    act = (proposal["plan"], proposal["call"], _text(proposal["arguments"]))
    played.said[act] = ruling
    played.steps_said.append(decision_step(item, ruling, "No."))
    played.journal.record(StepKind.REVIEW, DECISION_STEP, played.steps_said[-1])
    while played.chance.random() < 0.3:
        again = played.chance.choice(played.steps_said)
        played.journal.record(StepKind.REVIEW, DECISION_STEP, again)


def _disturb(played: Round) -> None:
    """A restart, a plan changed behind its approval, a policy changed: or nothing."""
    kind = played.chance.random()
    steps = list(played.journal.steps())
    if kind < 0.2:
        played.strict = not played.strict
    if 0.2 <= kind < 0.35:
        steps = [_changed(each, played.chance) for each in steps]
    played.journal = MemoryJournal(steps)


def _changed(step: Step, chance: random.Random) -> Step:
    """A plan whose amounts are others now."""
    if step.kind is not StepKind.PLAN or step.result is None or chance.random() < 0.5:
        return step
    calls = [
        {**each, "arguments": each["arguments"].replace("5", "50", 1)}
        for each in step.result["calls"]
        if each["name"] == "pay"
    ]
    return replace(step, result={**step.result, "calls": calls}) if calls else step


def _item(task_id: UUID, parked: Park, by: str) -> ReviewItem:
    now = datetime.now(UTC)
    return ReviewItem(
        id=uuid4(),
        task_id=task_id,
        tenant="acme",
        agent="clerk",
        kind=ReviewKind(parked.kind),
        reason=parked.reason,
        state="decided",
        packet={"proposal": dict(parked.proposal)},
        created_at=now,
        decided_at=now,
        decided_by=by,
    )


def _release(strict: bool) -> AgentRelease:
    rules = {"pay": ApprovalRule(people=1, valid_hours=12)} if strict else {}
    manifest = Manifest(
        name="clerk",
        title="Clerk",
        description="Pays after approval.",
        tools=("pay",),
        scope=Scope(handles=("Payments",), never=("Nothing",)),
        limits=Limits(model_calls=100, tool_calls=100, corrections=3),
        approvals=rules,
    )
    return AgentRelease(
        id=f"clerk@v1-{strict}", manifest=manifest, prompt="Work.", tools=ToolRegistry([pay])
    )


def _call(name: str, arguments: dict[str, object]) -> ToolCall:
    return ToolCall(id=f"call_{uuid4().hex}", name=name, arguments=json.dumps(arguments))


def _text(arguments: object) -> str:
    return json.dumps(arguments, sort_keys=True)
