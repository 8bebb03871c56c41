"""The offline model: one chat request in, one step out. Stateless but for its cache of indexes."""

import json
import re
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, Final

from fleet_workers.embedded.offline_model import values
from fleet_workers.embedded.offline_model.arguments import Source, fill
from fleet_workers.embedded.offline_model.conversation import (
    Conversation,
    content_text,
    read_conversation,
)
from fleet_workers.embedded.offline_model.endings import Call
from fleet_workers.embedded.offline_model.language import stems
from fleet_workers.embedded.offline_model.planning import Planner
from fleet_workers.embedded.offline_model.ranking import IndexCache, ToolIndex
from fleet_workers.embedded.offline_model.records import records
from fleet_workers.embedded.offline_model.schemas import ToolSpec, read_tools
from fleet_workers.embedded.offline_model.triage import choose_route, is_route
from fleet_workers.embedded.offline_model.validity import placeholder
from fleet_workers.embedded.offline_model.wire import ChatBody, Step
from fleet_workers.models.control import ANSWER, ASK_CUSTOMER, CONTROL_NAMES, HAND_OVER

_TODAY: Final = re.compile(r"\btoday\W+(?:is\W+)?(?:\w+,?\W+)?(\d{4}-\d{2}-\d{2})", re.IGNORECASE)
_CONTROL_TEXT: Final = {ANSWER: "text", ASK_CUSTOMER: "question", HAND_OVER: "reason"}
_PLAIN_REPLY: Final = (
    "I am the offline model: I choose tools for a request and fill their arguments. "
    "Without tools I have nothing to answer with."
)


class OfflineModel:
    """Answers chat requests by rules. Thread-safe; equal requests of one day get equal replies."""

    def __init__(self) -> None:
        self._indexes = IndexCache()

    def reply(self, body: ChatBody) -> Step:
        """The one step that follows from a request."""
        conversation = read_conversation(body.messages)
        today = _today(body.messages)
        specs, index = self._tools(body.tools)
        names = {spec.name for spec in specs}
        if body.forced is not None:
            spec = next(spec for spec in specs if spec.name == body.forced)
            return self._forced(spec, conversation, index, today)
        if body.choice == "none" or not specs:
            return Step(text=_plain_reply(conversation))
        call = self._next_call(conversation, index, today)
        if call.name in names:
            return Step(name=call.name, arguments=call.arguments)
        if body.choice == "required":
            best = index.rank(stems(conversation.wish))[0] if index.specs else None
            spec = index.specs[best.position] if best else specs[0]
            return self._forced(spec, conversation, index, today)
        return Step(text=str(call.arguments[_CONTROL_TEXT[call.name]]))

    def _tools(self, tools: list[dict[str, Any]]) -> tuple[tuple[ToolSpec, ...], ToolIndex]:
        key = sha256(json.dumps(tools, sort_keys=True).encode(errors="replace")).hexdigest()
        index = self._indexes.get(key)
        specs = index.all_specs if index is not None else read_tools(tools)
        if index is None:
            index = ToolIndex([each for each in specs if each.name not in CONTROL_NAMES], specs)
            self._indexes.put(key, index)
        return specs, index

    def _next_call(self, conversation: Conversation, index: ToolIndex, today: date) -> Call:
        if index.specs and all(is_route(spec) for spec in index.specs):
            return choose_route(conversation, index)
        return Planner(conversation, index, today).next_step()

    def _forced(
        self, spec: ToolSpec, conversation: Conversation, index: ToolIndex, today: date
    ) -> Step:
        """A call of one tool whatever the text says; what cannot be filled gets a placeholder."""
        if spec.name in CONTROL_NAMES:
            call = self._next_call(conversation, index, today)
            if call.name == spec.name:
                return Step(name=call.name, arguments=call.arguments)
        source = Source(
            text=conversation.wish,
            conversation=conversation,
            records=records(conversation.calls),
            today=today,
        )
        filling = fill(spec, source, lenient=True)
        for parameter in filling.missing:
            filling.arguments[parameter.name] = placeholder(parameter)
        return Step(name=spec.name, arguments=filling.arguments)


def _today(messages: list[dict[str, Any]]) -> date:
    """The day that the system message names, else the day in UTC."""
    for message in messages:
        if message.get("role") in {"system", "developer"}:
            found = _TODAY.search(content_text(message))
            named = values.days(found[1], None) if found else []
            if named and named[0].year and (day := values.full_date(named[0], date.min)):
                return day
    return datetime.now(UTC).date()


def _plain_reply(conversation: Conversation) -> str:
    done = [call for call in conversation.current_calls if call.answered and call.error is None]
    if not done:
        return _PLAIN_REPLY
    return "The tools returned: " + json.dumps(done[-1].result, ensure_ascii=False)[:1_000]
