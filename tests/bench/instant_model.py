"""A model inside the worker process that answers at once: no HTTP is measured with the fleet."""

import json
import random
import time
from typing import Any

from fleet_contracts.errors import Unavailable
from fleet_workers import wiring
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall

PUT_OFF = "Come back later"
"""A task whose text begins so is refused once, with a `Retry-After` of one second."""

HOLD_ON = "Hold on"
"""A task whose text begins so is answered after `HELD_SECONDS`: it holds a slot that long."""

HELD_SECONDS = 3.0

THINK = "Think"
"""A task whose text begins so is answered after 1.5 to 4.5 s, each after another time: as many
calls end in one moment as in any other."""

TAKE_TIME = "Take your time"
"""A task whose text begins so is answered after `TAKEN_SECONDS`, as a small model answers."""

TAKEN_SECONDS = 0.4

PAY_OUT = "Pay out 120 dollars from pot_"
"""A task whose text begins so, and goes on with a number, asks the payer's tool for that first."""

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
        if words.startswith(HOLD_ON):
            time.sleep(HELD_SECONDS)
        if words.startswith(THINK):
            time.sleep(random.uniform(1.5, 4.5))
        if words.startswith(TAKE_TIME):
            time.sleep(TAKEN_SECONDS)
        return ChatReply(
            text=f"{asked_at:.6f}",
            tool_calls=(_payment(words) if words.startswith(PAY_OUT) else _ANSWER,),
            model="instant",
            finish_reason="tool_calls",
            prompt_tokens=100,
            completion_tokens=10,
            duration_seconds=0.0,
        )

    def close(self) -> None:
        """Nothing is open."""


def _payment(words: str) -> ToolCall:
    pot = f"pot_{words.removeprefix(PAY_OUT).split()[0]}"
    arguments = json.dumps({"pot_id": pot, "amount_usd": 120})
    return ToolCall(id="call_0", name="pay_out", arguments=arguments)


def use_instant_model() -> None:
    """Let workers of this process ask it instead of an endpoint."""
    wiring.Gateway = InstantModel
