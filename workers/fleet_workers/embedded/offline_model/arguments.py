"""Fills a tool's arguments from the customer's words, the request's data and earlier results."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from fleet_workers.embedded.offline_model.candidates import Reading, candidates
from fleet_workers.embedded.offline_model.conversation import Conversation
from fleet_workers.embedded.offline_model.language import name_words, same_meaning, stem, words
from fleet_workers.embedded.offline_model.records import Record, choose, value_for
from fleet_workers.embedded.offline_model.schemas import Parameter, ToolSpec, resolve_items
from fleet_workers.embedded.offline_model.texts import is_free_text
from fleet_workers.embedded.offline_model.validity import accept

_CUSTOMER_WORDS: Final = frozenset({"customer", "user", "client", "account", "caller"})
_NO: Final = re.compile(r"\b(?:no|not|don't|dont|without|never|off)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where arguments may come from. `text` is the wish, `refused` values that failed before."""

    text: str
    conversation: Conversation
    records: Sequence[Record]
    today: date
    refused: frozenset[str] = frozenset()

    @property
    def texts(self) -> tuple[str, ...]:
        """The wish first, then the whole message, then all that was said before."""
        ordered = (self.text, self.conversation.wish, self.conversation.said)
        return tuple(dict.fromkeys(text for text in ordered if text))


@dataclass(slots=True, kw_only=True)
class Filling:
    """Arguments found. `also` holds further values of one argument that the text names too.

    `guessed` says that something was chosen without certainty; `undecided` holds the records
    among which only the customer can choose.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    missing: list[Parameter] = field(default_factory=list)
    also: tuple[str, list[Any]] | None = None
    guessed: bool = False
    undecided: tuple[Record, ...] = ()


def fill(spec: ToolSpec, source: Source, *, lenient: bool = False) -> Filling:
    """Fill what can be filled. `lenient` takes an id of unknown kind for the only id wanted."""
    filling = Filling()
    for parameter in spec.parameters:
        found = _find(parameter, spec, source, filling, lenient=lenient)
        if found is not None:
            filling.arguments[parameter.name] = found
        elif parameter.required:
            filling.missing.append(parameter)
    return filling


def _find(
    parameter: Parameter, spec: ToolSpec, source: Source, filling: Filling, *, lenient: bool
) -> Any:
    given = _from_data(parameter, source.conversation.data)
    if given is not None and _usable(given, source):
        return given
    if parameter.enum or parameter.type in {"boolean", "array", "object"}:
        return _by_type(parameter, source, lenient=lenient)
    if _is_customer(parameter):
        own = accept(parameter, source.conversation.customer)
        if own is not None:
            return own
    found = list(_stated(parameter, source, lenient=lenient))
    if found:
        if len(found) > 1 and parameter.required and _is_countable(parameter):
            filling.also = filling.also or (parameter.name, found[1:])
        return found[0]
    if parameter.required:
        return _from_records(parameter, spec, source, filling)
    return None


def _by_type(parameter: Parameter, source: Source, *, lenient: bool) -> Any:
    if parameter.enum:
        return _from_enum(parameter, source)
    if parameter.type == "boolean":
        return _truth(parameter, source)
    if parameter.type == "array":
        return _list(parameter, source, lenient=lenient)
    return _object(parameter, source, lenient=lenient)


def _usable(value: Any, source: Source) -> bool:
    return not (isinstance(value, str) and value in source.refused)


def _from_data(parameter: Parameter, data: dict[str, Any]) -> Any:
    wanted = "".join(parameter.words)
    stack = [data]
    while stack:
        place = stack.pop()
        for key, value in place.items():
            if "".join(name_words(str(key))) == wanted:
                return accept(parameter, value)
            if isinstance(value, dict):
                stack.append(value)
    return None


def _from_enum(parameter: Parameter, source: Source) -> Any:
    if len(parameter.enum) == 1:
        return parameter.enum[0] if parameter.required else None
    for text in source.texts[:2] if not parameter.required else source.texts:
        said = [stem(word) for word in words(text)]
        best, most = None, 0.0
        for value in parameter.enum:
            wanted = [stem(word) for word in name_words(str(value))]
            exact = sum(word in said for word in wanted)
            alike = sum(any(same_meaning(word, other) for other in said) for word in wanted)
            score = (exact + 0.4 * (alike - exact)) / len(wanted) if wanted else 0.0
            # A value named last is what is wanted: "from basic to pro".
            last = max((at for at, word in enumerate(said) if word in wanted), default=0)
            score += 0.1 * last / max(len(said), 1) if score else 0.0
            if score > most:
                best, most = value, score
        if best is not None and most >= (0.5 if parameter.required else 0.9):
            return best
    return None


def _truth(parameter: Parameter, source: Source) -> bool | None:
    said = [stem(word) for word in words(source.text)]
    named = [stem(word) for word in parameter.words if len(word) > 2]
    if any(word in said for word in named):
        return not _NO.search(source.text)
    return False if parameter.required else None


def _list(parameter: Parameter, source: Source, *, lenient: bool) -> list[Any] | None:
    item = resolve_items(parameter)
    if item.enum:
        said = [stem(word) for text in source.texts[:1] for word in words(text)]
        found: list[Any] = [
            value
            for value in item.enum
            if any(stem(word) in said for word in name_words(str(value)))
        ]
    elif item.type == "object":
        found = [each for each in [_object(item, source, lenient=lenient)] if each]
    else:
        found = list(_stated(item, source, lenient=lenient))
    longest = parameter.schema.get("maxItems")
    return (found[:longest] if isinstance(longest, int) else found) or None


def _object(parameter: Parameter, source: Source, *, lenient: bool) -> dict[str, Any] | None:
    properties = parameter.schema.get("properties")
    needed = parameter.schema.get("required")
    if not isinstance(properties, dict):
        return None
    inner = ToolSpec(
        name=parameter.name,
        description="",
        parameters=tuple(
            Parameter(
                name=str(key),
                required=isinstance(needed, list) and key in needed,
                schema=value if isinstance(value, dict) and value.get("type") != "object" else {},
            )
            for key, value in properties.items()
        ),
        writes=False,
    )
    filling = fill(inner, source, lenient=lenient)
    return filling.arguments if filling.arguments and not filling.missing else None


def _stated(parameter: Parameter, source: Source, *, lenient: bool) -> Iterator[Any]:
    """The values that the customer's words state for an argument, the best first."""
    seen = set[Any]()
    for text in source.texts:
        for candidate in candidates(
            parameter, text, Reading(today=source.today, wish=source.text, lenient=lenient)
        ):
            value = accept(parameter, candidate)
            if value is not None and value not in seen and _usable(value, source):
                seen.add(value)
                yield value
        if seen:
            return


def _is_customer(parameter: Parameter) -> bool:
    named = set(parameter.words)
    return bool(named & _CUSTOMER_WORDS) and named <= _CUSTOMER_WORDS | {"id", "number", "ref"}


def _is_countable(parameter: Parameter) -> bool:
    return parameter.type == "string" and (
        parameter.is_identifier
        or parameter.schema.get("format") == "email"
        or "email" in parameter.words
    )


def _from_records(parameter: Parameter, spec: ToolSpec, source: Source, filling: Filling) -> Any:
    if is_free_text(parameter):
        return None
    having: list[Record] = []
    seen = set[Any]()
    for record in source.records:
        value = accept(parameter, value_for(record, parameter))
        if value is not None and value not in seen and _usable(value, source):
            seen.add(value)
            having.append(record)
    own_ids = [each for each in filling.arguments.values() if isinstance(each, str)]
    same = [each for each in having if set(own_ids) & set(map(str, each.fields.values()))]
    if not parameter.is_identifier and own_ids and same:
        having = same
    choice = choose(having, " ".join(source.texts[:2]), source.today)
    if not choice.ranked:
        return None
    if not choice.certain:
        if spec.writes:
            filling.undecided = choice.ranked
            return None
        filling.guessed = True
    return accept(parameter, value_for(choice.ranked[0], parameter))
