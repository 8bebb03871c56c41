"""What goes to a chat model and what comes back, in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from fleet_contracts.errors import TransientError, Unavailable
from fleet_workers.models.asked_for import OWN_CALL, AskedFor, Source
from fleet_workers.models.candidates import MAIN

Message = dict[str, Any]
"""A message in the form of OpenAI's chat completions: role, content, tool_calls, tool_call_id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that a model asks for. `arguments` is the model's JSON text, not yet checked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSchema:
    """The JSON Schema that a reply's text shall satisfy; `name` is of letters, digits, _ and -.

    Not every endpoint can be held to it: check what comes back.
    """

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question to a model of a tier (small, medium or large).

    `timeout_seconds` bounds the whole question, repeats and fallbacks included. The answer has at
    most `max_output_tokens`, where the gateway's own limit is not smaller. `parallel_tool_calls`
    tells whether one reply may hold several calls; None leaves that to the endpoint. `asked_for`
    is the task behind it, or None: such a request is neither cached nor batched. `key` names the
    question for as long as its task lives, where it may be answered later.
    """

    messages: list[Message]
    tools: list[dict[str, Any]]
    tier: str = "small"
    timeout_seconds: float = 60.0
    max_output_tokens: int | None = None
    answer_schema: AnswerSchema | None = None
    parallel_tool_calls: bool | None = None
    asked_for: AskedFor | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """A model's answer with what it took. `cost_usd` is None where it is not known.

    `cached_tokens` are those of `prompt_tokens` that came from the provider's prefix cache.
    `endpoint` is the name of the one that answered, and `candidate` the model there as the price
    file calls it. `source` tells how the reply came about; where it was no call of its own,
    `saved_usd` is what that would have cost more, None where that is not known, and `provenance`
    tells where it is from, in the journal's form.
    """

    text: str | None
    tool_calls: tuple[ToolCall, ...]
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    duration_seconds: float
    offline: bool = False
    cost_usd: Decimal | None = None
    cached_tokens: int = 0
    endpoint: str = MAIN
    candidate: str | None = None
    source: Source = OWN_CALL
    saved_usd: Decimal | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an answer took that never arrived whole: at least these tokens.

    `cost_usd` is None unless the endpoint itself told the tokens. `model` is the price file's name
    of the one that was asked, empty where that is not known; `source` as in `ChatReply`.
    """

    model: str = ""
    source: Source = OWN_CALL
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal | None = None


class Interrupted(Unavailable):
    """An answer was begun, or may have been, and did not arrive whole: it may cost something."""

    code = "interrupted"

    def __init__(self, message: str, *, spent: Spent | None = None) -> None:
        super().__init__(message)
        self.spent = spent or Spent()


class AskAgain(Interrupted):
    """An answer that several requests shared is of no use for this one; its share is spent.

    The same request may be asked again at once, under a reservation of its own, and then shares
    with fewer, or with none. No attempt of its task is used up.
    """

    code = "ask_again"
    counts_attempt = False


class Filed(TransientError):
    """The question stands with the provider's Batch API, or will; the task waits for the answer.

    What is reserved for it stays so: asked again under the same key, it is the same question.
    """

    code = "filed"
    counts_attempt = False


class ChatModel(Protocol):
    """Anything that answers a chat request."""

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request.

        Raises:
            Filed: The answer comes later; what is reserved must stay so.
            AskAgain: An answer that was shared is of no use for this request: ask again at once.
            Interrupted: An answer was begun and is lost; what it took stands on the error.
            TimedOut: No answer came in time; what it took is not known.
            TransientError: The same request may succeed later; this one cost nothing.
            PermanentError: It will not.
        """
        ...
