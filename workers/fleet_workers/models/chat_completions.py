"""The form of the chat completions API: what is asked, and what its reply says."""

from collections.abc import Collection, Mapping
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
from fleet_workers.models.messages import AnswerSchema, ChatRequest, Message
from fleet_workers.models.usage import read_usage

PATH: Final = "/chat/completions"


def build_body(
    request: ChatRequest, model: str, most_tokens: int, lacks: Collection[Lack], *, stream: bool
) -> dict[str, Any]:
    """The request's body. What is fixed stands first, so that providers' prefix caches hit."""
    body: dict[str, Any] = {"model": model, _cap(lacks): most_tokens}
    if request.tools:
        body["tools"] = request.tools
        if Lack.TOOL_CHOICE not in lacks:
            body["tool_choice"] = "auto"
        if request.parallel_tool_calls is not None and Lack.PARALLEL_TOOL_CALLS not in lacks:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body["messages"] = request.messages
    if request.answer_schema is not None:
        _hold_to_schema(body, request.messages, request.answer_schema, lacks)
    return body


def optional_parameters(body: Mapping[str, Any]) -> dict[str, Lack]:
    """What could be left out of a body, or said in another way, by the parameter's name."""
    found = {
        "max_completion_tokens": Lack.MAX_COMPLETION_TOKENS,
        "max_tokens": Lack.MAX_TOKENS,
        "tool_choice": Lack.TOOL_CHOICE,
        "parallel_tool_calls": Lack.PARALLEL_TOOL_CALLS,
        "stream_options": Lack.STREAM_USAGE,
    }
    form = as_object(body.get("response_format")).get("type")
    if form is not None:
        found["response_format"] = Lack.JSON_SCHEMA if form == "json_schema" else Lack.JSON_OBJECT
    return {name: lack for name, lack in found.items() if name in body}


def read_answer(told: object, request: ChatRequest, where: str) -> Answer:
    """Take a completion apart.

    Raises:
        Unusable: There is no answer in it.
        PermanentError, Unavailable: It tells of an error.
    """
    completion = as_object(told)
    usage = read_usage(completion.get("usage"))
    if error := completion.get("error"):
        raise told_error(error, where, usage)
    choice = as_object(next(iter(as_list(completion.get("choices"))), None))
    if error := choice.get("error"):
        raise told_error(error, where, usage)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise Unusable(f"{where} answered without a usable choice.", usage)
    calls = []
    for index, each in enumerate(as_list(message.get("tool_calls"))):
        function = as_object(as_object(each).get("function"))
        call = read_call(
            index, as_object(each).get("id"), function.get("name"), function.get("arguments")
        )
        if call is None:
            raise Unusable(f"{where} called a tool without naming it.", usage)
        calls.append(call)
    text = _content(message.get("content")) or as_text(message.get("refusal"))
    return Answer(
        text=without_fence(text) if request.answer_schema else text,
        tool_calls=tuple(calls),
        model=as_text(completion.get("model")),
        finish_reason=read_reason(choice.get("finish_reason"), calls),
        usage=usage,
    )


def _cap(lacks: Collection[Lack]) -> str:
    """The name of the answer's limit: never none, since money is reserved for no more."""
    if Lack.MAX_COMPLETION_TOKENS in lacks and Lack.MAX_TOKENS not in lacks:
        return "max_tokens"
    return "max_completion_tokens"


def _content(content: object) -> str | None:
    if isinstance(content, str):
        return content
    texts = (as_text(as_object(part).get("text")) for part in as_list(content))
    return "".join(text for text in texts if text) or None


def _hold_to_schema(
    body: dict[str, Any], messages: list[Message], schema: AnswerSchema, lacks: Collection[Lack]
) -> None:
    if Lack.JSON_SCHEMA not in lacks:
        form = {"name": schema.name, "schema": schema.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
        return
    body["messages"] = instructed(messages, schema)
    if Lack.JSON_OBJECT not in lacks:
        body["response_format"] = {"type": "json_object"}
