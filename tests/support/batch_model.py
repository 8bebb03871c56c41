"""What a model says to requests, one by one or several in one, and what it takes."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from support.model_endpoint import Answering, Body, Told, completion, told, usage

Plan = Callable[[str], tuple[str, Mapping[str, Any]]]
"""The tool and its arguments for a customer's words."""

Spoil = Callable[[Body, list[Body]], None]
"""Changes the completion of several, or the results in it, before they are sent."""


def repeat(words: str) -> tuple[str, Mapping[str, Any]]:
    """Answer with the customer's own words."""
    return "answer", {"text": words, "confidence": 0.9}


def requests_in(body: Body) -> list[Body] | None:
    """The members of a request for several, or None where it is for one."""
    if body.get("tools"):
        return None
    found: list[Body] = json.loads(body["messages"][-1]["content"])["requests"]
    return found


def tokens_of(value: object) -> int:
    """A token for four characters."""
    return len(json.dumps(value)) // 4


def holding(answering: Answering, seconds: float = 0.5) -> Answering:
    """The same, but its first answer takes so long that all others are asked meanwhile."""
    asked = itertools.count()

    def answer(path: str, body: Body) -> Told:
        is_first = next(asked) == 0
        found = answering(path, body)
        return replace(found, wait=max(found.wait, seconds)) if is_first else found

    return answer


@dataclass(frozen=True, kw_only=True)
class BatchModel:
    """Answers by `plan`; `spoil` breaks what is answered to several. `usages` is what it took."""

    plan: Plan = repeat
    spoil: Spoil | None = None
    wait: float = 0.0
    usages: list[Body] = field(default_factory=list)

    def __call__(self, _path: str, body: Body) -> Told:
        members = requests_in(body)
        answer = self._one(body) if members is None else self._several(body, members)
        self.usages.append(answer["usage"])
        return Told(parts=told(answer).parts, wait=self.wait)

    def cost_usd(self, *, input_usd: int, output_usd: int) -> Decimal:
        """What all answers cost, at prices for a million tokens."""
        total = Decimal(0)
        for each in self.usages:
            total += input_usd * each["prompt_tokens"] + output_usd * each["completion_tokens"]
        return total / 1_000_000

    def _one(self, body: Body) -> Body:
        name, arguments = self.plan(body["messages"][-1]["content"])
        call = {"id": "c", "function": {"name": name, "arguments": json.dumps(arguments)}}
        return completion(None, tool_calls=[call], usage=_usage(body, call))

    def _several(self, body: Body, members: list[Body]) -> Body:
        results = []
        for each in members:
            name, arguments = self.plan(each["request"])
            call = {"name": name, "arguments": json.dumps(arguments)}
            results.append({"id": each["id"], "text": None, "calls": [call]})
        answer = completion("")
        if self.spoil is not None:
            self.spoil(answer, results)
        message = answer["choices"][0]["message"]
        message["content"] = message["content"] or json.dumps({"results": results})
        answer["usage"] = _usage(body, message["content"])
        return answer


def _usage(body: Body, said: object) -> Body:
    shown = [body["messages"], body.get("tools"), body.get("response_format")]
    return usage(tokens_of(shown), tokens_of(said))
