"""What models cost, from a file that operators keep: an unknown price is never taken for zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Protocol, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import read_toml
from fleet_workers.models.candidates import AT

SHIPPED: Final = Path(__file__).with_name("prices.toml")
"""Providers' list prices, which count where FLEET_PRICES names no other file."""

OLD_AFTER: Final = timedelta(days=180)
"""Providers change their prices about twice a year."""

_MILLION = Decimal(1_000_000)
_Usd = Annotated[Decimal, Field(ge=0)]


class Price(BaseModel):
    """US dollars for a million tokens.

    `cached_input_usd` is that of input which the provider's prefix cache gave; without it such
    input costs as any other, and it never costs more, so that what is reserved is enough.
    `batch_discount` is the share, 0 to 1, that the provider's Batch API takes off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_usd: _Usd
    output_usd: _Usd
    cached_input_usd: _Usd | None = None
    batch_discount: Annotated[Decimal, Field(ge=0, le=1)] = Decimal(0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cached_input_usd is not None and self.cached_input_usd > self.input_usd:
            raise ValueError("cached_input_usd must not be above input_usd")
        return self

    @property
    def costs(self) -> bool:
        """Whether anything is charged."""
        return bool(self.input_usd or self.output_usd)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    unknown: Price | None = None
    models: dict[str, Price] = Field(default_factory=dict)

    @field_validator("unknown")
    @classmethod
    def _unknown_costs(cls, price: Price | None) -> Price | None:
        if price is not None and not (price.input_usd and price.output_usd):
            raise ValueError("input_usd and output_usd must be above 0: a cap, no gift")
        return price


class PriceList(Protocol):
    """Knows what models cost."""

    def cost_usd(
        self,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        in_batch: bool = False,
    ) -> Decimal | None:
        """What a call costs, or None where the model's price, or what it took, is not known.

        An endpoint that does not tell tells of no tokens at all. `cached_tokens` are those of the
        input that came from the provider's prefix cache. `in_batch` is the Batch API's price.
        """
        ...

    def is_free(self, model: str) -> bool | None:
        """Whether calls of a model cost nothing; None where its price is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by model name; a name may end in `*`. Of several that fit, the longest counts.

    `model at fallback` is the model on another endpoint; it costs as `model` unless it is named.
    What is not named costs `unknown`, where that is set: a cap by an operator's word.
    """

    by_model: Mapping[str, Price]
    unknown: Price | None = None
    as_of: date | None = None

    def cost_usd(
        self,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        in_batch: bool = False,
    ) -> Decimal | None:
        """As `PriceList`."""
        price = self.price(model)
        if price is None or (price.costs and not input_tokens and not output_tokens):
            return None
        cached_usd = price.input_usd if price.cached_input_usd is None else price.cached_input_usd
        total = (
            price.input_usd * (input_tokens - cached_tokens)
            + cached_usd * cached_tokens
            + price.output_usd * output_tokens
        )
        share = 1 - price.batch_discount if in_batch else Decimal(1)
        return total * share / _MILLION

    def is_free(self, model: str) -> bool | None:
        """As `PriceList`."""
        price = self.price(model)
        return None if price is None else not price.costs

    def is_named(self, model: str) -> bool:
        """Whether the file names the model, so that its price is no guess."""
        return self._named(model) is not None

    def is_old(self, today: date) -> bool:
        """Whether the file should be compared with what the providers ask today."""
        return self.as_of is not None and today - self.as_of > OLD_AFTER

    def price(self, model: str) -> Price | None:
        """The price that counts for a model, or None where none is known."""
        return self._named(model) or self.unknown

    def _named(self, model: str) -> Price | None:
        plain = model.partition(AT)[0]
        for name in (model, plain):
            if name in self.by_model:
                return self.by_model[name]
        fitting = [name for name in self.by_model if fnmatchcase(plain, name)]
        return self.by_model[max(fitting, key=len)] if fitting else None


NOTHING_COSTS = {"offline-*": Price(input_usd=Decimal(0), output_usd=Decimal(0))}
"""The built-in model is free of charge."""


def load_prices(path: Path | None) -> Prices:
    """Read a price file: `as_of = 2026-01-31` and a table `[models."NAME"]` for each model.

    Without a path the project's own list is read.

    Raises:
        ConfigurationError: Names the file, the field and the remedy.
    """
    try:
        content = read_toml(path or SHIPPED, _File)
    except FileNotFoundError as error:
        raise ConfigurationError(f"FLEET_PRICES names {path}, which is missing.") from error
    except OSError as error:
        raise ConfigurationError(f"FLEET_PRICES names {path}, which cannot be read.") from error
    return Prices(
        by_model={**NOTHING_COSTS, **content.models}, unknown=content.unknown, as_of=content.as_of
    )
