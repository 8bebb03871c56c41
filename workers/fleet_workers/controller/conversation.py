"""Builds what the model sees from the envelope and the journal.

What is fixed comes first, so that providers' prefix caches hit. Personal data stands there as
placeholders, which the model's calls and answers are rid of again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.agents import AgentRelease
from fleet_workers.controller.plan import Plan, call_result, fate_of, plans
from fleet_workers.controller.situation import Situation
from fleet_workers.models.control import CONTROL_SCHEMAS
from fleet_workers.models.messages import Message
from fleet_workers.rails.normalise import normalise
from fleet_workers.rails.personal_data import ALL_KINDS, Masker, holds_placeholder
from fleet_workers.store.journal import Step, StepKind

T = TypeVar("T", bound=Any)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What the model is sent, in the form of OpenAI's chat completions, and what it hides."""

    messages: list[Message]
    masker: Masker


def hold_conversation(situation: Situation) -> Conversation:
    """The whole conversation so far. The same journal always gives the same placeholders."""
    masker = Masker(kinds=ALL_KINDS - situation.release.manifest.readable)
    messages: list[Message] = [
        {
            "role": "system",
            "content": masker.mask(system_text(situation.release, situation.envelope.customer)),
        },
        *(
            {"role": turn["role"], "content": masker.mask(turn["content"])}
            for turn in _session_turns(situation.steps)
        ),
        {"role": "user", "content": masker.mask(user_text(situation.envelope))},
    ]
    for plan in plans(situation.steps, situation.release.name):
        messages.extend(_plan_messages(plan, situation.steps, masker))
    return Conversation(messages=messages, masker=masker)


def restored(situation: Situation, plan: Plan, value: T) -> T:
    """What a plan says, with the personal data that its placeholders stand for.

    Raises:
        ValueError: Another version of the fleet gave the placeholders out: the model has to say
            it again.
    """
    if not holds_placeholder(json.dumps(value, default=str)):
        return value
    asked = situation.steps[plan.seq]
    seen = replace(situation, steps=situation.steps[: plan.seq])
    masker = hold_conversation(seen).masker
    if asked.request.get("placeholders") != masker.digest:
        raise ValueError(
            "The placeholders in this call are no longer known: make the call again, with those "
            "that stand in the conversation now."
        )
    return cast("T", masker.restore(value))


def build_tools(release: AgentRelease) -> list[dict[str, Any]]:
    """The agent's tools and the calls that end a plan, in a fixed order."""
    return [*release.tools.schemas(), *CONTROL_SCHEMAS]


def system_text(release: AgentRelease, customer: str | None) -> str:
    """The agent's prompt, its written boundary, and whom the task is about."""
    whom = f"The customer is {customer}." if customer else "The customer is not known."
    return f"{_boundary(release)}\n{whom}"


def head_text(release: AgentRelease) -> str:
    """What the model is sent before anything of the task: instructions and tools, as JSON."""
    return json.dumps({"system": _boundary(release), "tools": build_tools(release)})


def user_text(envelope: TaskEnvelope) -> str:
    """The customer's words as a person sees them, with the producer's data behind them."""
    words = normalise(envelope.input).text
    if not envelope.data:
        return words
    data = json.dumps(envelope.data, ensure_ascii=False, sort_keys=True)
    return f"{words}\n\nData from the calling system:\n{normalise(data).text}"


def _boundary(release: AgentRelease) -> str:
    scope = release.manifest.scope
    handles = "\n".join(f"- {line}" for line in scope.handles)
    never = "\n".join(f"- {line}" for line in scope.never)
    return (
        f"{release.prompt}\n\nYou handle:\n{handles}\n\nYou must never:\n{never}\n\n"
        "End with exactly one call of answer, ask_customer or hand_over."
    )


def _session_turns(steps: Sequence[Step]) -> list[Message]:
    for step in steps:
        if step.kind is StepKind.MEMORY and step.result is not None:
            return list(step.result["turns"])
    return []


def _plan_messages(plan: Plan, steps: Sequence[Step], masker: Masker) -> list[Message]:
    """A plan and what came of it. The model's own words hold placeholders already."""
    if not plan.calls:
        return [{"role": "assistant", "content": plan.text or ""}]
    messages: list[Message] = [
        {
            "role": "assistant",
            "content": plan.text,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in plan.calls
            ],
        }
    ]
    for index, call in enumerate(plan.calls):
        fate = fate_of(steps, plan, index)
        if fate is not None and fate.result is not None:
            content = masker.mask(json.dumps(call_result(fate), ensure_ascii=False))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return messages
