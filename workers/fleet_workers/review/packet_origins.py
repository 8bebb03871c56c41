"""Tells a person where each value of a proposed call comes from, as far as it can be seen.

A help for the eye, and no gate: what may be done with which value, the plan lock has judged.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import islice
from typing import Any, Final

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.rails.provenance import Scalar, leaves
from fleet_workers.review.wording import title_of
from fleet_workers.store.journal import Step, StepKind

_NUMBER: Final = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])")
_REQUEST: Final = "stands in the request"
_DATA: Final = "stands in the data of the request"
_NOWHERE: Final = "stands in nothing that was read"
_MOST_VALUES: Final = 20_000


class Origins:
    """Where values stand: the request, its data, and what tools gave, in this order.

    Of a very large result the first values are looked through.
    """

    def __init__(self, envelope: TaskEnvelope, steps: Sequence[Step]) -> None:
        self._envelope = envelope
        self._steps = steps

    def find(self, value: Any) -> str | None:
        """Where a value stands, in words; None where there is none to find.

        Numbers are compared by what they are worth, texts letter for letter whatever their case.
        Of a list or an object every part must stand in one place.
        """
        try:
            found = list(leaves(value))
        except RecursionError:
            return None
        parts = [each for each in found if not isinstance(each, bool) and str(each).strip()]
        if not parts:
            return None
        for where, place in self._places:
            if all(place.holds(each) for each in parts):
                return where
        return _NOWHERE

    @cached_property
    def _places(self) -> "list[tuple[str, _Place]]":
        envelope = self._envelope
        return [
            (_REQUEST, _Place(text=envelope.input)),
            (_DATA, _Place(values=[envelope.data, envelope.customer])),
            *(
                (f"was found by {title_of(step.name)}", _Place(values=(step.result or {})["value"]))
                for step in self._steps
                if step.kind is StepKind.TOOL and "value" in (step.result or {})
            ),
        ]


class _Place:
    """Values that can be found again."""

    def __init__(self, *, text: str = "", values: Any = None) -> None:
        self._text = text.casefold()
        found: list[Scalar] = []
        with suppress(RecursionError):  # of what is nested that deeply, the first values count
            found.extend(islice(leaves(values), _MOST_VALUES))
        self._texts = {str(each).casefold() for each in found}
        numbers = [_decimal(each.replace(",", "")) for each in _NUMBER.findall(text)]
        self._numbers = {*numbers, *(_decimal(each) for each in found)} - {None}

    def holds(self, value: Scalar) -> bool:
        """Tell whether the value stands here."""
        number = _decimal(value)
        if number is not None and number in self._numbers:
            return True
        wanted = str(value).strip().casefold()
        if wanted in self._texts:
            return True
        return bool(re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", self._text))


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
