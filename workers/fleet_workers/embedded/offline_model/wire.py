"""The request and reply forms of OpenAI's chat completions: checked, built, cut into chunks."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from fleet_workers.embedded.offline_model.conversation import content_text

MODELS: Final = ("offline-small", "offline-medium", "offline-large")
_CREATED: Final = 1_700_000_000
"""A fixed time in seconds since 1970: replies to equal requests are equal."""
_CHARACTERS_A_TOKEN: Final = 4
_MAX_CHOICES: Final = 8
_CHUNK_CHARACTERS: Final = 24
_CHOICES: Final = frozenset({"auto", "required", "none"})


class BadRequest(Exception):
    """The body is not a chat request. `parameter` names the field at fault, where there is one."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatBody:
    """A checked request. `forced` names the one function that must be called."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)
    choice: str = "auto"
    forced: str | None = None
    stream: bool = False
    stream_usage: bool = False
    n: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the model says: a text, or a call of one function."""

    text: str | None = None
    name: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


def parse_body(raw: bytes) -> ChatBody:
    """Read a request body.

    Raises:
        BadRequest: Names the field and what it must be.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON: send a JSON object.") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    tools = _tools(body.get("tools"))
    choice, forced = _choice(body.get("tool_choice"), tools)
    stream, options = body.get("stream"), body.get("stream_options")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("stream must be true or false.", "stream")
    return ChatBody(
        model=_model_name(body.get("model")),
        messages=_messages(body.get("messages")),
        tools=tools,
        choice=choice,
        forced=forced,
        stream=bool(stream),
        stream_usage=isinstance(options, dict) and options.get("include_usage") is True,
        n=_count(body.get("n")),
    )


def _model_name(model: Any) -> str:
    if not isinstance(model, str) or not model.strip():
        raise BadRequest("model must be a name, such as offline-small.", "model")
    name = re.sub(r"[^\w.:/-]", "-", model.strip(), flags=re.ASCII)[:80]
    return name if name.startswith("offline-") else f"offline-{name}"


def _messages(messages: Any) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list of at least one message.", "messages")
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest(f"messages[{at}] must be an object with a role.", f"messages[{at}]")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise BadRequest(
                f"messages[{at}].content must be a string or a list of parts.",
                f"messages[{at}].content",
            )
    return messages


def _tools(tools: Any) -> list[dict[str, Any]]:
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise BadRequest("tools must be a list.", "tools")
    for at, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name:
            raise BadRequest(f"tools[{at}].function.name must be a name.", f"tools[{at}]")
    return tools


def _choice(choice: Any, tools: list[dict[str, Any]]) -> tuple[str, str | None]:
    if choice is None:
        return "auto", None
    if isinstance(choice, str) and choice in _CHOICES:
        if choice == "required" and not tools:
            raise BadRequest("tool_choice required needs tools.", "tool_choice")
        return choice, None
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if any(tool["function"]["name"] == name for tool in tools):
        return "required", name
    raise BadRequest(
        "tool_choice must be auto, required, none, or name one of the tools.", "tool_choice"
    )


def _count(n: Any) -> int:
    if n is None:
        return 1
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MAX_CHOICES:
        raise BadRequest(f"n must be a whole number from 1 to {_MAX_CHOICES}.", "n")
    return n


def error_body(message: str, kind: str, parameter: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": parameter, "code": None}}


def completion(body: ChatBody, step: Step, digest: str) -> dict[str, Any]:
    """A whole reply. `digest` makes its ids: equal requests get equal ones."""
    message: dict[str, Any] = {"role": "assistant", "content": step.text, "refusal": None}
    if step.name is not None:
        message["tool_calls"] = [_tool_call(step, digest)]
    choices = [
        {"index": at, "message": message, "logprobs": None, "finish_reason": _reason(step)}
        for at in range(body.n)
    ]
    return {
        **_head(body, digest, "chat.completion"),
        "choices": choices,
        "usage": _usage(body, step),
    }


def chunks(body: ChatBody, step: Step, digest: str) -> Iterator[dict[str, Any]]:
    """The reply as stream chunks: role, pieces, finish, and usage where it was asked for."""
    head = _head(body, digest, "chat.completion.chunk")
    for at in range(body.n):
        for delta in _deltas(step, digest):
            yield {**head, "choices": [_chunk_choice(at, delta, None)]}
        yield {**head, "choices": [_chunk_choice(at, {}, _reason(step))]}
    if body.stream_usage:
        yield {**head, "choices": [], "usage": _usage(body, step)}


def _deltas(step: Step, digest: str) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if step.name else ""}
    if step.name is not None:
        call = _tool_call(step, digest)
        arguments = call["function"]["arguments"]
        call["function"] = {"name": step.name, "arguments": ""}
        yield {"tool_calls": [{"index": 0, **call}]}
        for piece in _pieces(arguments):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
    for piece in _pieces(step.text or ""):
        yield {"content": piece}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _CHUNK_CHARACTERS):
        yield text[start : start + _CHUNK_CHARACTERS]


def _chunk_choice(at: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": at, "delta": delta, "logprobs": None, "finish_reason": reason}


def _head(body: ChatBody, digest: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": kind,
        "created": _CREATED,
        "model": body.model,
        "system_fingerprint": "offline",
    }


def _tool_call(step: Step, digest: str) -> dict[str, Any]:
    arguments = json.dumps(step.arguments, ensure_ascii=False)
    # A digest of the whole request: two calls of one conversation never share an id.
    call_id = sha256(f"{digest}{step.name}{arguments}".encode(errors="replace")).hexdigest()
    return {
        "id": f"call_{call_id[:24]}",
        "type": "function",
        "function": {"name": step.name, "arguments": arguments},
    }


def _reason(step: Step) -> str:
    return "tool_calls" if step.name is not None else "stop"


def _usage(body: ChatBody, step: Step) -> dict[str, int]:
    asked = sum(len(content_text(message)) + 8 for message in body.messages)
    asked += len(json.dumps(body.tools)) if body.tools else 0
    said = len(step.text or "") + len(step.name or "") + len(json.dumps(step.arguments))
    prompt, reply = -(-asked // _CHARACTERS_A_TOKEN), -(-said * body.n // _CHARACTERS_A_TOKEN)
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}


def model_list() -> dict[str, Any]:
    """The answer to GET /v1/models."""
    rows = [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "agent-fleet"}
        for name in MODELS
    ]
    return {"object": "list", "data": rows}
