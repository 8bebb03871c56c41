"""Tells from a task's journal what was understood, done, found, ruled out and decided before."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fleet_contracts.outcome import ReviewKind
from fleet_workers.review.binding import Ruling, is_decision
from fleet_workers.review.wording import (
    call_words,
    climb_words,
    sentence,
    time_words,
    title_of,
)
from fleet_workers.store.journal import Step, StepKind, StepState

_ENDS: Final = {
    "answer": "an answer",
    "ask_customer": "a question to the customer",
    "hand_over": "to give the request to a person",
}
DECIDED_WORDS: Final = {
    Ruling.APPROVE: "approved",
    Ruling.EDIT: "changed and approved",
    Ruling.REJECT: "rejected",
    Ruling.ANSWER: "answered",
    Ruling.ASK: "asked the customer",
    Ruling.REASSIGN: "gave the task to another agent",
}
"""What a ruling was, as a person tells it afterwards."""
_RULINGS: Final = frozenset(each.value for each in Ruling)


def conversation(steps: Sequence[Step]) -> list[Any]:
    """What was said before in the session: role and content of each turn."""
    return _first(steps, StepKind.MEMORY, "turns")


def signals(steps: Sequence[Step]) -> list[str]:
    """Signs of manipulation in the request, and in what was read for it."""
    found = [str(each) for each in _first(steps, StepKind.INBOUND, "signals")]
    for step in steps:
        if step.kind is StepKind.TOOL:
            found += [
                f"{title_of(step.name)} gave a text that {each}"
                for each in _list((step.result or {}).get("signals"))
            ]
    return found


def understood(steps: Sequence[Step]) -> list[str]:
    """What the agent made of the request, in the order in which it came to it.

    Personal data in the agent's own words stands behind placeholders, as the model saw it.
    """
    return [words for step in steps for words in _understood(step)]


def calls(steps: Sequence[Step], effect: str) -> list[dict[str, Any]]:
    """Calls of tools that read or write, each with its arguments and what came of it."""
    return [
        {
            "tool": step.name,
            "title": title_of(step.name),
            "line": call_words(step.name, step.request["arguments"]),
            "arguments": step.request["arguments"],
            "outcome": dict(step.result) if step.result is not None else "not known",
            "came_to": _came_to(step),
            **({"at": time_words(step.started_at)} if step.started_at else {}),
        }
        for step in steps
        if step.kind is StepKind.TOOL and step.request.get("effect") == effect
    ]


def ruled_out(steps: Sequence[Step]) -> list[dict[str, str]]:
    """What was tried or proposed and will not do: `what`, and `why` it will not."""
    found = []
    for step in steps:
        result = step.result or {}
        if step.kind is StepKind.GATE:
            what = _call_at(steps, result.get("plan"), result.get("call"))
            found.append(
                {
                    "what": what or "What the agent wanted to do",
                    "why": sentence(str(result.get("reason", ""))),
                    "by": f"the {str(step.name).replace('_', ' ')} check",
                }
            )
        elif step.kind is StepKind.TOOL and "error" in result:
            found.append(
                {
                    "what": call_words(step.name, step.request["arguments"]),
                    "why": sentence(str(result["error"])),
                    "by": "the tool",
                }
            )
        elif is_decision(step) and result.get("ruling") == Ruling.REJECT:
            found.append(
                {
                    "what": _proposed(steps, step),
                    "why": sentence(str(result.get("text", ""))),
                    "by": str(result.get("by") or "a person"),
                }
            )
    return found


def rounds(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Earlier reviews of the task: why it stopped, what was proposed, and what the person said."""
    found: list[dict[str, Any]] = []
    asked: Mapping[str, Any] = {}
    for step in steps:
        result = step.result or {}
        if step.kind is StepKind.REVIEW and result.get("state") == "waiting":
            asked = result
        elif is_decision(step):
            ruling = str(result.get("ruling"))
            found.append(
                {
                    "review": result.get("review"),
                    "kind": result.get("kind"),
                    "why": str(asked.get("reason", "")),
                    "proposed": _proposed(steps, step),
                    "ruling": ruling,
                    "decided": DECIDED_WORDS.get(Ruling(ruling), ruling)
                    if ruling in _RULINGS
                    else ruling,
                    "said": str(result.get("text", "")),
                    "by": result.get("by"),
                    "at": time_words(result.get("at")),
                }
            )
            asked = {}
    return found


def _understood(step: Step) -> Iterator[str]:
    result = step.result or {}
    if step.kind is StepKind.TRIAGE and result.get("agent"):
        yield f"The triage gave the request to {result['agent']}."
    if step.kind is not StepKind.PLAN:
        return
    if climbed := climb_words(step):
        yield climbed
    planned = [_planned(each) for each in _list(result.get("calls"))]
    said = result.get("text")
    # Words beside the end of a plan may repeat a draft that was held back because it leaks.
    is_thought = planned and not any(name in _ENDS for name, _ in planned)
    if is_thought and isinstance(said, str) and said.strip():
        yield f"{step.name} said: “{said.strip()}”"
    if planned:
        wanted = [_ENDS.get(name) or call_words(name, arguments) for name, arguments in planned]
        yield f"{step.name} planned: {'; '.join(wanted)}."


def _planned_words(call: Any) -> str:
    name, arguments = _planned(call)
    return _ENDS.get(name, "") or call_words(name, arguments)


def _planned(call: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(call, Mapping):
        return "", {}
    try:
        arguments = json.loads(str(call.get("arguments") or "{}"))
    except (ValueError, RecursionError):
        arguments = {}
    return str(call.get("name", "")), arguments if isinstance(arguments, Mapping) else {}


def _call_at(steps: Sequence[Step], plan: object, index: object) -> str | None:
    """The call of a plan in words, as the model planned it; None where there is none."""
    if not isinstance(plan, int) or not isinstance(index, int):
        return None
    planned = next(
        (each for each in steps if each.seq == plan and each.kind is StepKind.PLAN), None
    )
    found = _list((planned.result or {}).get("calls")) if planned is not None else []
    return _planned_words(found[index]) if 0 <= index < len(found) else None


def _proposed(steps: Sequence[Step], decision: Step) -> str:
    """What a decision was about: a call, or the words that a plan came to."""
    result = decision.result or {}
    if isinstance(result.get("tool"), str) and isinstance(result.get("arguments"), Mapping):
        return call_words(result["tool"], result["arguments"])
    if isinstance(result.get("tool"), str):
        return _call_at(steps, result.get("plan"), result.get("call")) or title_of(result["tool"])
    plan = next((each for each in steps if each.seq == result.get("plan")), None)
    if plan is None or plan.kind is not StepKind.PLAN:
        return "nothing to decide on"
    if result.get("kind") == ReviewKind.SUSPICIOUS:
        return "a draft that was held back"
    drafted = [_planned(each) for each in _list((plan.result or {}).get("calls"))]
    said = next((a.get("text") or a.get("question") or a.get("reason") for _, a in drafted), None)
    return str(said or (plan.result or {}).get("text") or "nothing to decide on")


def _came_to(step: Step) -> str:
    """How a call ended, in a few words."""
    result = step.result or {}
    if step.state is StepState.STARTED:
        return "It was begun, and its end is not known."
    if "in_doubt" in result:
        return "Whether it was done is not known."
    if "error" in result:
        return sentence(f"It failed: {result['error']}")
    return "It was done." if step.request.get("effect") == "write" else "It was found."


def _first(steps: Sequence[Step], kind: StepKind, name: str) -> list[Any]:
    for step in steps:
        if step.kind is kind and step.result is not None:
            return _list(step.result.get(name))
    return []


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
