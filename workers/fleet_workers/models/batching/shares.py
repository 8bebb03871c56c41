"""Shares what a call took among those who shared it: no token and no cent is lost."""

from collections.abc import Sequence
from decimal import ROUND_UP, Decimal
from typing import Final

_LEAST_USD: Final = Decimal("0.00000001")  # what the ledger keeps


def split(total: int, weights: Sequence[int]) -> list[int]:
    """A whole number in parts by weight, at most one off each; their sum is the total."""
    parts: list[int] = []
    whole, so_far, given = sum(weights), 0, 0
    for weight in weights:
        so_far += weight
        upto = total * so_far // whole if whole else total * (len(parts) + 1) // len(weights)
        parts.append(upto - given)
        given = upto
    return parts


def split_usd(total_usd: Decimal | None, weights: Sequence[int]) -> list[Decimal | None]:
    """A sum in parts by weight, each rounded up; None where it is not known."""
    if total_usd is None:
        return [None] * len(weights)
    whole = sum(weights)
    return [(total_usd * each / whole).quantize(_LEAST_USD, rounding=ROUND_UP) for each in weights]


def most_together(most_alone: int, weights: Sequence[int]) -> int:
    """How many tokens an answer to all may have, so that nobody's part is over `most_alone`."""
    return most_alone * sum(weights) // max(weights)


def input_weights(item_bytes: Sequence[int], all_bytes: int) -> list[int]:
    """How much of the input is each member's: its own item and an equal share of the rest.

    Together they are at least `all_bytes`, which is at least the tokens of the whole.
    """
    rest = max(0, all_bytes - sum(item_bytes))
    return [each + -(-rest // len(item_bytes)) for each in item_bytes]
