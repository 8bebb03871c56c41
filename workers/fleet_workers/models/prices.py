"""What models cost, from a file that operators keep: an unknown price is never taken for zero."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import explain_faults

_MILLION = Decimal(1_000_000)
_Usd = Annotated[Decimal, Field(ge=0)]


class Price(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_usd: _Usd
    output_usd: _Usd

    @property
    def costs(self) -> bool:
        """Whether anything is charged."""
        return bool(self.input_usd or self.output_usd)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    models: dict[str, Price] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by model name; a name may end in `*`. Of several that fit, the longest counts."""

    by_model: Mapping[str, Price]

    def cost_usd(self, model: str, *, input_tokens: int, output_tokens: int) -> Decimal | None:
        """What a call costs, or None where the model's price, or what it took, is not known.

        An endpoint that does not tell tells of no tokens at all.
        """
        price = self._price(model)
        if price is None or (price.costs and not input_tokens and not output_tokens):
            return None
        total = price.input_usd * input_tokens + price.output_usd * output_tokens
        return total / _MILLION

    def is_free(self, model: str) -> bool | None:
        """Whether calls of a model cost nothing; None where its price is not known."""
        price = self._price(model)
        return None if price is None else not price.costs

    def _price(self, model: str) -> Price | None:
        exact = self.by_model.get(model)
        if exact is not None:
            return exact
        fitting = [name for name in self.by_model if fnmatchcase(model, name)]
        return self.by_model[max(fitting, key=len)] if fitting else None


NOTHING_COSTS = {"offline-*": Price(input_usd=Decimal(0), output_usd=Decimal(0))}
"""The built-in model is free of charge."""


def load_prices(path: Path | None) -> Prices:
    """Read a price file: `as_of = 2026-01-31` and a table `[models."NAME"]` for each model.

    Raises:
        ConfigurationError: Names the file, the field and the remedy.
    """
    if path is None:
        return Prices(by_model=NOTHING_COSTS)
    try:
        content = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigurationError(f"FLEET_PRICES names {path}, which is missing.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}.") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {explain_faults(error)}.") from error
    return Prices(by_model={**NOTHING_COSTS, **content.models})
