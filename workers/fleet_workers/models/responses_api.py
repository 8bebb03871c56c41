"""The form of the Responses API: what is asked, and what its reply says. Nothing is kept there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from fleet_workers.models.answers import (
    Answer,
    Unusable,
    as_list,
    as_object,
    as_text,
    instructed,
    read_call,
    read_reason,
    told_error,
    without_fence,
)
from fleet_workers.models.capabilities import Lack
from fleet_workers.models.messages import ChatRequest, Message, ToolCall
from fleet_workers.models.usage import TokenUsage, read_usage

PATH: Final = "/responses"

_ENDED = {"completed", "incomplete"}


def build_body(
    request: ChatRequest, model: str, most_tokens: int, lacks: Collection[Lack], *, stream: bool
) -> dict[str, Any]:
    """The request's body. What is fixed stands first, so that providers' prefix caches hit."""
    body: dict[str, Any] = {"model": model, "store": False, "max_output_tokens": most_tokens}
    if request.tools:
        body["tools"] = [_tool(each) for each in request.tools]
        if Lack.TOOL_CHOICE not in lacks:
            body["tool_choice"] = "auto"
        if request.parallel_tool_calls is not None and Lack.PARALLEL_TOOL_CALLS not in lacks:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if stream:
        body["stream"] = True
    messages: Sequence[Message] = request.messages
    schema = request.answer_schema
    if schema is not None and Lack.JSON_SCHEMA not in lacks:
        form = {"name": schema.name, "schema": schema.schema, "strict": True}
        body["text"] = {"format": {"type": "json_schema", **form}}
    elif schema is not None:
        messages = instructed(messages, schema)
        if Lack.JSON_OBJECT not in lacks:
            body["text"] = {"format": {"type": "json_object"}}
    body["input"] = [item for message in messages for item in _items(message)]
    return body


def optional_parameters(body: Mapping[str, Any]) -> dict[str, Lack]:
    """What could be left out of a body, or said in another way, by the parameter's name."""
    found = {
        "tool_choice": Lack.TOOL_CHOICE,
        "parallel_tool_calls": Lack.PARALLEL_TOOL_CALLS,
    }
    form = as_object(as_object(body.get("text")).get("format")).get("type")
    if form is not None:
        found["text"] = Lack.JSON_SCHEMA if form == "json_schema" else Lack.JSON_OBJECT
    return {name: lack for name, lack in found.items() if name in body}


def read_answer(told: object, request: ChatRequest, where: str) -> Answer:
    """Take a response apart.

    Raises:
        Unusable: There is no answer in it.
        PermanentError, Unavailable: It tells of an error.
    """
    response = as_object(told)
    usage = read_usage(response.get("usage"))
    if error := response.get("error"):
        raise told_error(error, where, usage)
    status = response.get("status", "completed")
    if not isinstance(response.get("output"), list) or as_text(status) not in _ENDED:
        raise Unusable(f"{where} answered without a usable output ({status}).", usage)
    calls = _calls(response["output"], where, usage)
    text = "".join(_texts(response["output"])) or None
    cut = as_object(response.get("incomplete_details")).get("reason") or "length"
    return Answer(
        text=without_fence(text) if request.answer_schema else text,
        tool_calls=calls,
        model=as_text(response.get("model")),
        finish_reason=read_reason(cut if status == "incomplete" else None, calls),
        usage=usage,
    )


def _calls(output: Sequence[Any], where: str, usage: TokenUsage | None) -> tuple[ToolCall, ...]:
    calls = []
    for index, item in enumerate(map(as_object, output)):
        if item.get("type") != "function_call":
            continue
        call = read_call(
            index, item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments")
        )
        if call is None:
            raise Unusable(f"{where} called a tool without naming it.", usage)
        calls.append(call)
    return tuple(calls)


def _texts(output: Sequence[Any]) -> Iterator[str]:
    for item in map(as_object, output):
        if item.get("type") == "message":
            for part in map(as_object, as_list(item.get("content"))):
                yield as_text(part.get("text")) or as_text(part.get("refusal")) or ""


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Told flat, and never strict by default: schemas here may hold optional fields."""
    function = tool["function"]
    return {
        "type": "function",
        "name": function["name"],
        "description": function.get("description"),
        "parameters": function.get("parameters"),
        "strict": bool(function.get("strict", False)),
    }


def _items(message: Message) -> Iterator[dict[str, Any]]:
    if message["role"] == "tool":
        yield {
            "type": "function_call_output",
            "call_id": message["tool_call_id"],
            "output": message["content"],
        }
        return
    if message.get("content"):
        yield {"role": message["role"], "content": message["content"]}
    for call in message.get("tool_calls") or ():
        yield {
            "type": "function_call",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
        }
