"""Puts the pieces of a streamed reply together, and counts them in case the rest never comes."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from fleet_contracts.errors import TransientError
from fleet_workers.models.answers import Unusable, as_list, as_object, as_text, told_error
from fleet_workers.models.usage import TokenUsage, read_usage


class Pieces(Protocol):
    """What is there of a reply so far.

    `count` is the number of pieces with text in them: at least as many tokens were made. `usage`
    is what the endpoint told of it, if anything.
    """

    count: int
    usage: TokenUsage | None

    def take(self, event: Mapping[str, Any]) -> None:
        """Add an event of the stream."""
        ...

    def whole(self) -> dict[str, Any] | None:
        """The reply as it would have come in one, or None where its end is missing."""
        ...


class Broken(Exception):
    """A stream that ended early; the pieces tell what is known of its cost."""

    def __init__(self, reason: str, pieces: Pieces) -> None:
        super().__init__(reason)
        self.pieces = pieces


def collect(events: Iterable[object], pieces: Pieces, where: str) -> dict[str, Any]:
    """Follow a stream to its end.

    Raises:
        Broken: Its end did not come, and something was there before.
        TransientError: It broke before anything was there.
        PermanentError: It tells that the request cannot be answered.
    """
    try:
        for event in events:
            found = as_object(event)
            if error := found.get("error"):
                raise told_error(error, where, pieces.usage)
            pieces.take(found)
    except (TransientError, Unusable) as error:
        whole = pieces.whole()
        if whole is not None:
            return whole
        if pieces.count or isinstance(error, Unusable):
            raise Broken(str(error), pieces) from error
        raise
    whole = pieces.whole()
    if whole is None:
        raise Broken(f"{where} ended its stream half-way.", pieces)
    return whole


class ChatPieces:
    """Chunks of a chat completion. Its end is the reason why it ended."""

    def __init__(self) -> None:
        self.count = 0
        self.usage: TokenUsage | None = None
        self._model: str | None = None
        self._reason: str | None = None
        self._at_once: dict[str, Any] | None = None
        self._told_usage: object = None
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._open: dict[int, dict[str, Any]] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Add a chunk. Other choices than the first are passed over."""
        self._model = as_text(event.get("model")) or self._model
        if (usage := read_usage(event.get("usage"))) is not None:
            self.usage, self._told_usage = usage, event["usage"]
        for choice in map(as_object, as_list(event.get("choices"))):
            if "message" in choice:
                self._at_once = dict(event)
            elif choice.get("index", 0) == 0:
                self._reason = as_text(choice.get("finish_reason")) or self._reason
                self._add(as_object(choice.get("delta")))

    def whole(self) -> dict[str, Any] | None:
        """The completion, once it has told why it ended, or where it came in one."""
        if self._at_once is not None:
            return self._at_once
        if self._reason is None:
            return None
        calls = [
            {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in self._calls
        ]
        message = {
            "content": "".join(self._texts) or None,
            "refusal": "".join(self._refusals) or None,
            "tool_calls": calls,
        }
        return {
            "model": self._model,
            "choices": [{"message": message, "finish_reason": self._reason}],
            "usage": self._told_usage,
        }

    def _add(self, delta: Mapping[str, Any]) -> None:
        for name, into in (("content", self._texts), ("refusal", self._refusals)):
            if text := as_text(delta.get(name)):
                into.append(text)
                self.count += 1
        if as_text(delta.get("reasoning_content")) or as_text(delta.get("reasoning")):
            self.count += 1
        for place, piece in enumerate(map(as_object, as_list(delta.get("tool_calls")))):
            self._add_call(place, piece)
            self.count += 1

    def _add_call(self, place: int, piece: Mapping[str, Any]) -> None:
        """A piece belongs to the call of its index; some servers give all calls the same one."""
        told = piece.get("index")
        index, call_id = told if isinstance(told, int) else place, as_text(piece.get("id"))
        call = self._open.get(index)
        if call is None or (call_id and call["id"] and call_id != call["id"]):
            call = {"id": call_id, "name": None, "arguments": ""}
            self._calls.append(call)
            self._open[index] = call
        function = as_object(piece.get("function"))
        call["id"] = call["id"] or call_id
        call["name"] = call["name"] or as_text(function.get("name"))
        call["arguments"] += as_text(function.get("arguments")) or ""


class ResponsePieces:
    """Events of the Responses API. The last one holds the whole response."""

    def __init__(self) -> None:
        self.count = 0
        self.usage: TokenUsage | None = None
        self._response: dict[str, Any] | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Add an event.

        Raises:
            Unusable: It tells that the response failed.
        """
        if "output" in event and "type" not in event:  # it came in one
            self._response = dict(event)
        kind = as_text(event.get("type")) or ""
        response = event.get("response")
        if isinstance(response, Mapping):
            self.usage = read_usage(response.get("usage")) or self.usage
            if kind in {"response.completed", "response.incomplete", "response.failed"}:
                self._response = dict(response)
        elif kind.endswith(".delta"):
            self.count += 1
        elif kind == "error":
            words = as_text(event.get("message")) or "an error without words"
            raise Unusable(f"The stream told of an error: {words[:500]}", self.usage)

    def whole(self) -> dict[str, Any] | None:
        """The response, once it has come."""
        return self._response
