"""Money at the edge of the sandbox business: decimal texts outside, whole cents inside."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

AmountUsd = Annotated[Decimal, Field(gt=0, le=1_000_000, max_digits=9, decimal_places=2)]
"""A positive sum in US dollars with at most two decimals."""


def to_cents(amount: AmountUsd) -> int:
    """Give a sum in whole cents."""
    return int(amount * 100)


def to_usd(cents: int) -> str:
    """Write cents as a decimal text with two decimals, such as 49.00 or -0.50."""
    return str(Decimal(cents).scaleb(-2).quantize(Decimal("0.01")))
