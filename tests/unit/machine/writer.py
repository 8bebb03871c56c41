"""A model that follows each request's script, and words a call differently each time it is asked.

What it has done it reads from the conversation alone, as a real model does.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fleet_workers.models.messages import ChatReply, ChatRequest, Message, ToolCall
from unit.machine.business import LARGE, SMALL
from unit.machine.strikes import point

WRITES = ("refund", "large_refund", "note", "courier")
WISHES = ("find_order", *WRITES)
ENDS = ("answer", "unsure", "ask_customer", "hand_over")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the agent shall do for a request: calls in turn, `together` so many a reply, then end.

    Orders are called `NUMBER.PLACE`, so that each call that was meant has a name of its own.
    """

    number: int
    wishes: tuple[str, ...]
    together: int
    end: str

    @property
    def orders(self) -> dict[str, str]:
        """The wish behind each order."""
        return {f"{self.number}.{place}": wish for place, wish in enumerate(self.wishes)}

    @property
    def request(self) -> str:
        """What the customer asks: it names every order and both sums, so that all is grounded."""
        orders = " ".join(f"#{order}" for order in self.orders)
        return f"request {self.number} please: {orders} for {SMALL} or {LARGE}, not 5000"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the model was told about its calls when it gave its last word on a request."""

    done: frozenset[str]
    given_up: frozenset[str]


class Writer:
    """A `ChatModel` over scripts by number."""

    def __init__(self) -> None:
        self.scripts: dict[int, Script] = {}
        self.last_words: dict[int, Said] = {}
        self._asked = 0

    def complete(self, request: ChatRequest) -> ChatReply:
        point("model.before")
        self._asked += 1
        script = self._script(request.messages)
        names = {schema["function"]["name"] for schema in request.tools}
        calls = self._triage() if "send_to_clerk" in names else self._next(script, request.messages)
        point("model.after")
        return ChatReply(
            text=None,
            tool_calls=calls,
            model="script",
            finish_reason="tool_calls",
            prompt_tokens=1,
            completion_tokens=1,
            duration_seconds=0.0,
        )

    def _script(self, messages: list[Message]) -> Script:
        text = next(each["content"] for each in messages if each["role"] == "user")
        return self.scripts[int(text.split()[1].rstrip(":"))]

    def _triage(self) -> tuple[ToolCall, ...]:
        return (self._call("send_to_clerk", confidence=0.9),)

    def _next(self, script: Script, messages: list[Message]) -> tuple[ToolCall, ...]:
        said = read_conversation(messages)
        left = [order for order in script.orders if order not in said.done | said.given_up]
        if not left:
            self.last_words[script.number] = said
            refused = any("refused this" in (each["content"] or "") for each in messages)
            return (self._end("answer" if refused else script.end),)
        chosen = left[: script.together]
        if self._asked % 2:
            chosen.reverse()
        return tuple(self._wish(order, script.orders[order]) for order in chosen)

    def _wish(self, order: str, wish: str) -> ToolCall:
        wording = f"wording {self._asked}"
        if wish.endswith("refund"):
            amount: Decimal = LARGE if wish == "large_refund" else SMALL
            return self._call("refund", order=order, wording=wording, amount=str(amount))
        return self._call(wish, order=order, wording=wording)

    def _end(self, end: str) -> ToolCall:
        match end:
            case "answer":
                return self._call("answer", text="All is done.", confidence=0.95)
            case "unsure":
                return self._call("answer", text="It may be done.", confidence=0.2)
            case "ask_customer":
                return self._call("ask_customer", question="Which one do you mean?")
            case _:
                return self._call("hand_over", reason="That is for a person.")

    def _call(self, name: str, **arguments: Any) -> ToolCall:
        return ToolCall(
            id=f"call_{self._asked}_{arguments.get('order', '')}",
            name=name,
            arguments=json.dumps(arguments),
        )


def read_conversation(messages: list[Message]) -> Said:
    """Which orders were dealt with, by what the tools' results say."""
    orders: dict[str, str] = {}
    done: set[str] = set()
    given_up: set[str] = set()
    for message in messages:
        for call in message.get("tool_calls") or ():
            arguments = json.loads(call["function"]["arguments"])
            if "order" in arguments:
                orders[call["id"]] = arguments["order"]
        if message["role"] == "tool" and message["tool_call_id"] in orders:
            order = orders[message["tool_call_id"]]
            content = json.loads(message["content"])
            if "result" in content:
                done.add(order)
            elif "was not done" not in content["error"]:
                given_up.add(order)
    return Said(done=frozenset(done), given_up=frozenset(given_up))
