"""Hides personal data from a model behind placeholders, and puts it back into what it asks for."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final

from fleet_workers.rails.personal_values import Found, Kind, find_personal_values
from fleet_workers.rails.phone_numbers import REGIONS

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

ALL_KINDS: Final = frozenset(Kind)
_TYPED: Final = "TYPED"
_NAMES: Final = "|".join([*(kind.name for kind in Kind), _TYPED])
_PLACEHOLDER: Final = re.compile(
    rf"<(?:{_NAMES})_\d+>|(?<![^\W_])(?<!_)(?:{_NAMES})_\d+(?!\w)", re.IGNORECASE
)


@lru_cache(maxsize=256)
def _values_in(text: str, regions: tuple[str, ...]) -> tuple[Found, ...]:
    """A conversation is masked anew for each of its model calls; most of its texts stay."""
    return tuple(find_personal_values(text, regions=regions))


def holds_placeholder(text: str) -> bool:
    """Tell whether anything in the text looks like a placeholder."""
    return _PLACEHOLDER.search(text) is not None


def mask_text(text: str) -> str:
    """The text with placeholders for all kinds of personal data, by itself."""
    return Masker().mask(text)


class Masker:
    """The placeholders of one task, as `<EMAIL_1>`: one for each value, exactly as it is written.

    The numbers follow the order in which values were seen, and nothing else: whoever masks the
    same texts in the same order with the same `kinds` and `regions` gets the same placeholders.
    A text that holds something like a placeholder from the start gets it hidden too, as
    `<TYPED_1>`, so that nobody can write himself another's value; mask each text once.
    Kinds that are left out stay readable. It is not for several threads.
    """

    def __init__(
        self, *, kinds: Iterable[Kind] = ALL_KINDS, regions: Iterable[str] = REGIONS
    ) -> None:
        self._kinds = frozenset(kinds)
        self._regions = tuple(regions)
        self._placeholders: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    @property
    def found(self) -> Mapping[Kind, int]:
        """How many different values of each kind were masked so far; never the values."""
        return {Kind[name]: count for name, count in self._counts.items() if name != _TYPED}

    @property
    def digest(self) -> str | None:
        """A hash of all placeholders with their values, to compare maskers; None without any."""
        if not self._values:
            return None
        return sha256(repr(sorted(self._values.items())).encode()).hexdigest()[:16]

    def mask(self, text: str) -> str:
        """The text with a placeholder for each value of the kinds to be hidden."""
        spans = [(match.start(), match.end(), _TYPED) for match in _PLACEHOLDER.finditer(text)]
        spans += [
            (each.start, each.end, each.kind.name)
            for each in _values_in(text, self._regions)
            if each.kind in self._kinds
        ]
        masked, done = [], 0
        for start, end, name in sorted(spans):
            if start < done:
                continue
            masked += [text[done:start], self._placeholder(name, text[start:end])]
            done = end
        return "".join([*masked, text[done:]])

    def restore(self, value: Json) -> Json:
        """The value with all placeholders, also in nested lists and objects, turned back.

        Models are forgiven another case and missing brackets. A placeholder that was never
        given out stays as it is.
        """
        if isinstance(value, str):
            return _PLACEHOLDER.sub(self._value, value)
        if isinstance(value, list):
            return [self.restore(each) for each in value]
        if isinstance(value, dict):
            return {_PLACEHOLDER.sub(self._value, key): self.restore(value[key]) for key in value}
        return value

    def _placeholder(self, name: str, value: str) -> str:
        known = self._placeholders.get((name, value))
        if known is None:
            self._counts[name] += 1
            known = f"<{name}_{self._counts[name]}>"
            self._placeholders[name, value] = known
            self._values[known.strip("<>")] = value
        return known

    def _value(self, match: re.Match[str]) -> str:
        return self._values.get(match.group().strip("<>").upper(), match.group())
