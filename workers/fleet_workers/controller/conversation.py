"""Builds what the model sees from the envelope and the journal.

What is fixed comes first, so that providers' prefix caches hit.
"""

import json
from collections.abc import Sequence
from typing import Any

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.agents import AgentRelease
from fleet_workers.controller.plan import Plan, call_result, fate_of, plans
from fleet_workers.controller.situation import Situation
from fleet_workers.models.control import CONTROL_SCHEMAS
from fleet_workers.models.messages import Message
from fleet_workers.store.journal import Step, StepKind


def build_messages(situation: Situation) -> list[Message]:
    """The whole conversation so far in the form of OpenAI's chat completions."""
    messages: list[Message] = [
        {
            "role": "system",
            "content": system_text(situation.release, situation.envelope.customer),
        },
        *_session_turns(situation.steps),
        {"role": "user", "content": user_text(situation.envelope)},
    ]
    for plan in plans(situation.steps, situation.release.name):
        messages.extend(_plan_messages(plan, situation.steps))
    return messages


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


def _boundary(release: AgentRelease) -> str:
    scope = release.manifest.scope
    handles = "\n".join(f"- {line}" for line in scope.handles)
    never = "\n".join(f"- {line}" for line in scope.never)
    return (
        f"{release.prompt}\n\nYou handle:\n{handles}\n\nYou must never:\n{never}\n\n"
        "End with exactly one call of answer, ask_customer or hand_over."
    )


def user_text(envelope: TaskEnvelope) -> str:
    """The customer's words, with the producer's data behind them."""
    if not envelope.data:
        return envelope.input
    data = json.dumps(envelope.data, ensure_ascii=False, sort_keys=True)
    return f"{envelope.input}\n\nData from the calling system:\n{data}"


def _session_turns(steps: Sequence[Step]) -> list[Message]:
    for step in steps:
        if step.kind is StepKind.MEMORY and step.result is not None:
            return [
                {"role": turn["role"], "content": turn["content"]} for turn in step.result["turns"]
            ]
    return []


def _plan_messages(plan: Plan, steps: Sequence[Step]) -> list[Message]:
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
            content = json.dumps(call_result(fate), ensure_ascii=False)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return messages
