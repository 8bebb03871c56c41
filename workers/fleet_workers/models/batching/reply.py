"""Takes the answer to several requests apart, and believes none of it unchecked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet_workers.models.answers import as_list, as_object, as_text, read_call
from fleet_workers.models.batching.neighbours import takes_from_others
from fleet_workers.models.batching.prompt import BatchPrompt, words_of
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall


class Unfit(Exception):
    """An answer that is not one result for each request; `alone` where nobody is to share again."""

    def __init__(self, reason: str, *, alone: bool = False) -> None:
        super().__init__(reason)
        self.alone = alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was answered to one request, or in `fault` why it is of no use.

    `size` is that of its JSON, by which the output is shared.
    """

    size: int
    text: str | None = None
    calls: tuple[ToolCall, ...] = ()
    fault: str | None = None


def read_results(
    reply: ChatReply, prompt: BatchPrompt, requests: Sequence[ChatRequest]
) -> list[Result]:
    """One result for each request.

    Raises:
        Unfit: The whole cannot be used: it was cut short, is no JSON, lacks a request, holds one
            twice or a foreign one, or carries one person's words or values to another.
    """
    if reply.finish_reason in {"length", "content_filter"}:
        raise Unfit(f"The answer was cut short ({reply.finish_reason}).")
    told = _by_id(reply.text, prompt.ids)
    tools = json.dumps(requests[0].tools, ensure_ascii=False)
    names = {each["function"]["name"] for each in requests[0].tools}
    found = [
        _result(told[key], names, request)
        for key, request in zip(prompt.ids, requests, strict=True)
    ]
    _refuse_contagion(found, requests, f"{prompt.request.messages[0]['content']} {tools}")
    return found


def _by_id(text: str | None, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    try:
        results = as_list(as_object(json.loads(text or "")).get("results"))
    except (ValueError, RecursionError) as error:
        raise Unfit("The answer is not JSON.") from error
    told = {str(as_object(each).get("id")): as_object(each) for each in results}
    if len(results) != len(told):
        raise Unfit("The answer holds a request twice.")
    if told.keys() - set(ids):
        raise Unfit("The answer holds a request that was not asked.")
    if len(told) != len(ids):
        raise Unfit(f"The answer holds {len(told)} of {len(ids)} requests.")
    return told


def _result(told: Mapping[str, Any], names: set[str], request: ChatRequest) -> Result:
    size = len(json.dumps(told))
    try:
        calls = _calls(told.get("calls") or [], names)
    except ValueError as error:
        return Result(size=size, fault=str(error))
    text = as_text(told.get("text"))
    if not calls and not (text or "").strip():
        return Result(size=size, fault="It is empty.")
    if len(calls) > 1 and request.parallel_tool_calls is False:
        return Result(size=size, fault="It holds several calls.")
    asked = request.asked_for
    if asked is not None and any(each.name in asked.writes | asked.outward for each in calls):
        # Others' words were read for it: what acts is planned from the request alone.
        return Result(size=size, fault="It acts.")
    return Result(size=size, text=text, calls=calls)


def _calls(told: object, names: set[str]) -> tuple[ToolCall, ...]:
    if not isinstance(told, list):
        raise ValueError("Its calls are no list.")  # noqa: TRY004 one error for all faults
    calls = []
    for index, each in enumerate(map(as_object, told)):
        call = read_call(index, None, each.get("name"), each.get("arguments"))
        if call is None or call.name not in names:
            raise ValueError("It calls what is no tool.")
        if not _is_object(call.arguments):
            raise ValueError(f"The arguments of {call.name} are no JSON object.")
        calls.append(call)
    return tuple(calls)


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _refuse_contagion(
    results: Sequence[Result], requests: Sequence[ChatRequest], head: str
) -> None:
    words = [words_of(each) for each in requests]
    for place, result in enumerate(results):
        said = " ".join([result.text or "", *(each.arguments for each in result.calls)])
        others = [each for other, each in enumerate(words) if other != place]
        if takes_from_others(said, own=f"{head}\n{words[place]}", others=others):
            raise Unfit("A result holds what another person wrote.", alone=True)
