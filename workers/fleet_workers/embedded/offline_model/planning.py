"""Decides the next step of an agent: the next tool call, or how the plan ends."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from fleet_workers.embedded.offline_model.arguments import Filling, Source, fill
from fleet_workers.embedded.offline_model.conversation import Conversation, PastCall
from fleet_workers.embedded.offline_model.endings import (
    Call,
    answer,
    ask,
    confidence_of,
    hand_over,
)
from fleet_workers.embedded.offline_model.guards import reason_to_hand_over
from fleet_workers.embedded.offline_model.language import same_meaning, stem, stems, words
from fleet_workers.embedded.offline_model.ranking import ToolIndex
from fleet_workers.embedded.offline_model.records import records
from fleet_workers.embedded.offline_model.replies import (
    ask_for,
    ask_which,
    describe_result,
    found_nothing,
    offer,
)
from fleet_workers.embedded.offline_model.schemas import Parameter, ToolSpec
from fleet_workers.embedded.offline_model.texts import is_free_text, is_query
from fleet_workers.embedded.offline_model.vocabulary import VAGUE_WORDS
from fleet_workers.embedded.offline_model.wishes import Wish, asks_how, find_wishes, search_wish

_MAX_CHAIN: Final = 2
_MAX_CALLS: Final = 12
_MAX_ATTEMPTS: Final = 2
_UNCERTAIN: Final = 0.15
_TELL_MORE: Final = "Could you tell me a little more about what you need?"
_GREETING: Final = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|thanks?|thank you|greetings)"
    r"(?:\W+(?:there|all|everyone|team|again|so much|a lot|very much))*\W*$",
    re.IGNORECASE,
)
_NOT_FOUND: Final = re.compile(
    r"not found|no such|unknown|does not exist|cannot find|no \w+ (?:with|of|called)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one wish: something told, a question, or a failure. `lost` lowers confidence."""

    told: str | None = None
    question: str | None = None
    failure: str | None = None
    lost: float = 0.0


class Planner:
    """Plans one request. Holds nothing over requests: the same request gives the same step."""

    def __init__(self, conversation: Conversation, index: ToolIndex, today: date) -> None:
        self._conversation = conversation
        self._index = index
        self._today = today
        self._records = records(conversation.calls)

    def next_step(self) -> Call:
        """The next tool call; a control tool's where the plan ends."""
        reason = reason_to_hand_over(self._conversation, self._index)
        if reason is not None:
            return hand_over(reason)
        text = self._conversation.wish
        if not text.strip() or _GREETING.match(text):
            return ask("What can I do for you?")
        if set(stems(text)) <= _VAGUE:
            return ask(_TELL_MORE)
        found = find_wishes(text, self._index)
        if not found:
            search = search_wish(text, self._index)
            if search is None:
                return self._nothing_fits()
            found = [search]
        outcomes = []
        for wish in found:
            step = self._pursue(wish)
            if isinstance(step, Call):
                return step
            outcomes.append((wish, step))
        return _end(outcomes)

    def _nothing_fits(self) -> Call:
        said = set(stems(self._conversation.wish))
        if all(term in _VAGUE or self._index.knows(term) for term in said):
            return ask(_TELL_MORE)
        return hand_over("The message asks for something that none of my tools is made for.")

    def _pursue(self, wish: Wish) -> Call | Outcome:
        spec = wish.spec
        if wish.offered:
            return Outcome(question=offer(spec))
        made = [call for call in self._conversation.current_calls if call.name == spec.name]
        failed = [call for call in made if call.error is not None]
        source = self._source(wish, failed)
        filling = fill(spec, source)
        if filling.missing:
            step = self._chain(spec, filling, wish, _MAX_CHAIN)
            if step is not None:
                return step
            filling = self._fill_leniently(spec, source, filling)
        if filling.missing:
            return self._unfilled(wish, filling, made, failed)
        for arguments in _each(filling):
            if not self._was_called(spec, arguments, made) and self._may_call(failed):
                return Call(name=spec.name, arguments=arguments)
        return self._report(wish, filling, made, failed)

    def _source(self, wish: Wish, failed: list[PastCall]) -> Source:
        said = self._conversation.said.lower()
        # Another reading is tried only for what was our own guess: never for what the customer
        # said, and never for a change.
        refused = {
            value
            for call in failed
            for parameter in wish.spec.parameters
            if isinstance(value := call.arguments.get(parameter.name), str)
            and not (wish.spec.writes or is_free_text(parameter) or parameter.enum)
            and value.lower() not in said
        }
        return Source(
            text=wish.text,
            conversation=self._conversation,
            records=self._records,
            today=self._today,
            refused=frozenset(refused - {self._conversation.customer}),
        )

    def _fill_leniently(self, spec: ToolSpec, source: Source, filling: Filling) -> Filling:
        if filling.undecided or sum(each.is_identifier for each in filling.missing) != 1:
            return filling
        return replace(fill(spec, source, lenient=True), guessed=True)

    def _may_call(self, failed: list[PastCall]) -> bool:
        return len(failed) < _MAX_ATTEMPTS and len(self._conversation.current_calls) < _MAX_CALLS

    def _was_called(self, spec: ToolSpec, arguments: dict[str, Any], made: list[PastCall]) -> bool:
        earlier = self._conversation.calls if spec.writes else made
        return any(call.name == spec.name and _same(call.arguments, arguments) for call in earlier)

    def _chain(self, spec: ToolSpec, filling: Filling, wish: Wish, depth: int) -> Call | None:
        """A reading tool that may bring what is missing and has not been tried."""
        if depth == 0 or filling.undecided or not self._may_call([]):
            return None
        tried = {call.name for call in self._conversation.current_calls}
        for parameter in filling.missing:
            for reader in self._readers(parameter, spec):
                if reader.name in tried:
                    continue
                inner = fill(reader, self._source(replace(wish, spec=reader), []))
                if not inner.missing:
                    return Call(name=reader.name, arguments=inner.arguments)
                step = self._chain(reader, inner, wish, depth - 1)
                if step is not None:
                    return step
        return None

    def _readers(self, parameter: Parameter, spec: ToolSpec) -> Iterator[ToolSpec]:
        if not _can_be_looked_up(parameter):
            return
        entity = parameter.entity or frozenset(spec.name_stems) - spec.action_stems
        scored = []
        for position, reader in enumerate(self._index.specs):
            wants_it = any(each.name == parameter.name for each in reader.required)
            if reader.writes or wants_it or reader.name == spec.name:
                continue
            score = _yields(reader, entity)
            if score >= 1:
                scored.append((-score, len(reader.required), position))
        for _, _, position in sorted(scored):
            yield self._index.specs[position]

    def _unfilled(
        self, wish: Wish, filling: Filling, made: list[PastCall], failed: list[PastCall]
    ) -> Outcome:
        if failed:
            return _failure(wish, failed[-1], self._conversation)
        if any(call.error is None and call.answered for call in made):
            return self._report(wish, filling, made, failed)
        if filling.undecided:
            return Outcome(question=ask_which(wish.spec, filling.undecided))
        return Outcome(question=ask_for(wish.spec, filling.missing))

    def _report(
        self, wish: Wish, filling: Filling, made: list[PastCall], failed: list[PastCall]
    ) -> Outcome:
        done = [call for call in made if call.error is None and call.answered]
        if not done:
            earlier = [call for call in self._conversation.calls if call.name == wish.spec.name]
            if failed or not earlier:
                return _failure(wish, failed[-1] if failed else None, self._conversation)
            done = [call for call in earlier if call.error is None] or earlier
        told = [
            describe_result(call, wish.spec, self._conversation.wish, self._today) for call in done
        ]
        # A list of the customer's own things is seldom what "how do I ..." wants to know.
        off = asks_how(wish.text) and not any(is_query(each) for each in wish.spec.parameters)
        doubts = filling.guessed + bool(failed) * 2 + all(map(found_nothing, done)) + off
        lost = _UNCERTAIN * doubts
        failure = None
        if failed and wish.spec.writes:
            failure = _failure(wish, failed[-1], self._conversation).failure
        return Outcome(told="\n".join(dict.fromkeys(told)), failure=failure, lost=lost)


def _end(outcomes: list[tuple[Wish, Outcome]]) -> Call:
    told = [outcome.told for _, outcome in outcomes if outcome.told]
    questions = [outcome.question for _, outcome in outcomes if outcome.question]
    failures = [outcome.failure for _, outcome in outcomes if outcome.failure]
    if failures:
        done = f" Already done or found: {' '.join(told)}" if told else ""
        return hand_over(f"{' '.join(failures)}{done}")
    if questions:
        return ask("\n\n".join([*told, *dict.fromkeys(questions)]))
    confidence = min(
        confidence_of(wish.strength, wish.margin, outcome.lost) for wish, outcome in outcomes
    )
    return answer("\n\n".join(dict.fromkeys(told)), confidence)


def _failure(wish: Wish, call: PastCall | None, conversation: Conversation) -> Outcome:
    if call is None or call.error is None:
        return Outcome(failure=f"I could not finish: {wish.spec.phrase}.")
    said = conversation.said.lower()
    mentioned = [
        value
        for value in call.arguments.values()
        if isinstance(value, str) and len(value) < 60 and value.lower() in said
    ]
    if mentioned and _NOT_FOUND.search(call.error):
        return Outcome(
            question=f"I could not find {mentioned[0]}. Could you check it and tell me again?"
        )
    return Outcome(failure=f"The tool {wish.spec.name} failed: {call.error.rstrip('.')}.")


def _each(filling: Filling) -> Iterator[dict[str, Any]]:
    yield filling.arguments
    if filling.also is not None:
        name, more = filling.also
        for value in more[:5]:
            yield {**filling.arguments, name: value}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(
        other, sort_keys=True, default=str
    )


def _can_be_looked_up(parameter: Parameter) -> bool:
    if parameter.type not in {"string", "integer", "number"} or is_free_text(parameter):
        return False
    contact = {"email", "phone", "password", "date", "time", "amount", "name", "confidence"}
    return parameter.is_identifier or not contact & set(parameter.words)


def _yields(reader: ToolSpec, entity: frozenset[str]) -> float:
    named = reader.name_stems
    described = stems(reader.description)[:60]
    score = 0.0
    for one in entity:
        if one in named:
            score += 3
        elif any(same_meaning(one, other) for other in named):
            score += 1.5
        elif one in described:
            score += 1
    opening = {stem(word) for word in words(reader.phrase)[:1]}
    return score + 0.5 * bool(opening & _LISTING) if score else 0.0


_VAGUE: Final = frozenset(stem(word) for word in VAGUE_WORDS)
_LISTING: Final = frozenset({stem(word) for word in ("list", "search", "find", "get", "show")})
