"""A model inside the worker process that answers at once: no HTTP is measured with the fleet."""

import time
from typing import Any

from fleet_contracts.errors import Unavailable
from fleet_workers import wiring
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall

PUT_OFF = "Come back later"
"""A task whose text begins so is refused once, with a `Retry-After` of one second."""

_ANSWER = ToolCall(id="call_0", name="answer", arguments='{"text": "Done.", "confidence": 0.95}')


class InstantModel:
    """Stands where the gateway stands. Its text says when it was asked: Unix time in seconds."""

    def __init__(self, **_settings: Any) -> None:
        self._put_off: set[str] = set()

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer, or refuse the first time where the task's text asks for that."""
        asked_at = time.time()
        words = request.messages[-1]["content"]
        if words.startswith(PUT_OFF) and words not in self._put_off:
            self._put_off.add(words)
            raise Unavailable("Not now.", retry_after_seconds=1.0)
        return ChatReply(
            text=f"{asked_at:.6f}",
            tool_calls=(_ANSWER,),
            model="instant",
            finish_reason="tool_calls",
            prompt_tokens=100,
            completion_tokens=10,
            duration_seconds=0.0,
        )

    def close(self) -> None:
        """Nothing is open."""


def use_instant_model() -> None:
    """Let workers of this process ask it instead of an endpoint."""
    wiring.Gateway = InstantModel
