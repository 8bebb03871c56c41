"""Questions of tasks, and a model that counts what it is asked."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from threading import Lock
from typing import Any
from uuid import uuid4

from fleet_workers.models.asked_for import AskedFor, CacheRules
from fleet_workers.models.control import CONTROL_SCHEMAS
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall
from unit.models.questions import TOOL

HEAD = "You help the customers of a shop."
SEMANTIC = CacheRules(semantic=True, alike_from=0.8)
WRITE_TOOL = {"type": "function", "function": {"name": "refund", "parameters": {}}}


def ask(text: str = "Where is order 7?", **changes: Any) -> ChatRequest:
    """The first question of a new task; `changes` are fields of `AskedFor`."""
    customer = changes.get("customer", "C-1001")
    about = f"\nThe customer is {customer}." if customer else "\nThe customer is not known."
    asked = AskedFor(
        **{
            "task_id": str(uuid4()),
            "tenant": "acme",
            "agent": "billing",
            "release": "billing@v1-aaaa",
            "customer": customer,
            "priority": "normal",
            "text": text,
            "is_first": True,
            "flagged": False,
            "writes": frozenset({"refund"}),
            "about": about,
            **changes,
        }
    )
    return ChatRequest(
        messages=[
            {"role": "system", "content": HEAD + about},
            {"role": "user", "content": text},
        ],
        tools=[TOOL, WRITE_TOOL, *CONTROL_SCHEMAS],
        timeout_seconds=5.0,
        asked_for=asked,
    )


def reply(*calls: tuple[str, str], **changes: Any) -> ChatReply:
    """A reply that costs two cents; a call is a name and arguments."""
    made = tuple(
        ToolCall(id=f"call_{index}", name=name, arguments=arguments)
        for index, (name, arguments) in enumerate(calls or [("find_order", '{"order_id": "7"}')])
    )
    return ChatReply(
        **{
            "text": None,
            "tool_calls": made,
            "model": "tested",
            "finish_reason": "tool_calls",
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "duration_seconds": 0.5,
            "cost_usd": Decimal("0.02"),
            **changes,
        }
    )


class Asked:
    """A model that answers as it is told and keeps what it was asked."""

    def __init__(
        self, answer: Callable[[ChatRequest], ChatReply] | ChatReply | None = None
    ) -> None:
        self.requests: list[ChatRequest] = []
        self.answer = answer or reply()
        self._lock = Lock()

    def complete(self, request: ChatRequest) -> ChatReply:
        with self._lock:
            self.requests.append(request)
        return self.answer(request) if callable(self.answer) else self.answer


def again(request: ChatRequest, **changes: Any) -> ChatRequest:
    """The same question of another task; `changes` are fields of `AskedFor`."""
    assert request.asked_for is not None
    asked = replace(request.asked_for, **{"task_id": str(uuid4()), **changes})
    return replace(request, asked_for=asked)


def models_of(tier: str) -> list[str]:
    return [f"tested {tier}"]
