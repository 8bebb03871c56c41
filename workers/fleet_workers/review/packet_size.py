"""Keeps a packet small and storable, whatever tools, customers and models have put into it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fleet_workers.store.json_text import as_stored, json_text

MAX_PACKET_BYTES: Final = 200_000
"""UTF-8 bytes of the packet's JSON. A broker takes far more; a person reads far less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """How much of each value is kept: characters of a text, items of a list, levels below."""

    characters: int
    items: int
    levels: int


_MEASURES: Final = (
    _Measure(characters=12_000, items=100, levels=12),
    _Measure(characters=4_000, items=50, levels=10),
    _Measure(characters=1_000, items=25, levels=8),
    _Measure(characters=300, items=12, levels=6),
    _Measure(characters=120, items=6, levels=4),
    _Measure(characters=60, items=3, levels=3),
    _Measure(characters=30, items=2, levels=2),
)
_KEY_CHARACTERS: Final = 100
_WHERE: Final = "see the task's timeline"


def fitted(
    packet: Mapping[str, Any], *, whole: frozenset[str] = frozenset(), limit: int = MAX_PACKET_BYTES
) -> dict[str, Any]:
    """The packet with long values cut until it has at most `limit` bytes; each cut says so.

    Parts named in `whole` are never cut, because a decision is bound to them: where they alone
    pass the limit, the others are cut to the smallest measure. NUL and lone surrogates are
    replaced as in the store, NaN and infinity become words.
    """
    kept = {name: _as_it_is(packet[name]) for name in whole if name in packet}
    rest = {name: value for name, value in packet.items() if name not in whole}
    room = limit - _size(kept)
    shown: dict[str, Any] = {}
    for measure in _MEASURES:
        shown = {name: _cut(value, measure) for name, value in rest.items()}
        if _size(shown) <= room:
            break
    shown = as_stored(shown)
    return {name: kept[name] if name in whole else shown[name] for name in packet}


def shortened(text: str, characters: int) -> str:
    """A text, or its beginning and how much was left out."""
    left_out = len(text) - characters
    if left_out <= 0:
        return text
    return f"{text[:characters].rstrip()} … {left_out:,} more characters, {_WHERE}"


def _as_it_is(value: Any) -> Any:
    """A value as the store gives it back; of one that is nested too deeply, what can be told."""
    try:
        return json.loads(json_text(value))
    except (ValueError, TypeError):  # NaN, infinity, or no JSON at all
        return as_stored(_storable(value))
    except RecursionError:
        return as_stored(_cut(value, _MEASURES[0]))


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _cut(value: Any, measure: _Measure, level: int = 0) -> Any:
    match value:
        case str():
            return shortened(value, measure.characters)
        case Mapping() | list() | tuple() if level >= measure.levels:
            return f"… {len(value):,} more values, {_WHERE}" if value else _storable(value)
        case Mapping():
            return _cut_mapping(value, measure, level)
        case list() | tuple():
            shown = [_cut(each, measure, level + 1) for each in value[: measure.items]]
            return [*shown, *_left_out(len(value) - measure.items)]
        case _:
            return _storable(value)


def _cut_mapping(value: Mapping[Any, Any], measure: _Measure, level: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, each in list(value.items())[: measure.items]:
        shown[shortened(str(key), _KEY_CHARACTERS)] = _cut(each, measure, level + 1)
    for words in _left_out(len(value) - measure.items):
        shown["…"] = words
    return shown


def _left_out(number: int) -> list[str]:
    return [f"… {number:,} more, {_WHERE}"] if number > 0 else []


def _storable(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): _storable(each) for key, each in value.items()}
        case list() | tuple():
            return [_storable(each) for each in value]
        case _:
            return str(value)
