"""What goes to a chat model and what comes back, in plain values."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

Message = dict[str, Any]
"""A message in the form of OpenAI's chat completions: role, content, tool_calls, tool_call_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that a model asks for. `arguments` is the model's JSON text, not yet checked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question to a model of a tier (small, medium or large)."""

    messages: list[Message]
    tools: list[dict[str, Any]]
    tier: str = "small"
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """A model's answer with what it took. `cost_usd` is None where the price is not known."""

    text: str | None
    tool_calls: tuple[ToolCall, ...]
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    duration_seconds: float
    offline: bool = False
    cost_usd: Decimal | None = None


class ChatModel(Protocol):
    """Anything that answers a chat request."""

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request.

        Raises:
            TransientError: The same request may succeed later.
            PermanentError: It will not.
        """
        ...
