"""How each model of the settings stands: where it is, what it costs and cannot do, its breaker."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fleet_workers.models.candidates import TIERS, Candidate, Candidates, of_tier
from fleet_workers.models.capability_records import CapabilityRecords
from fleet_workers.models.prices import Prices
from fleet_workers.resilience.breaker_records import Record

PriceKind = Literal["named", "capped", "free", "unknown"]


class ModelStanding(BaseModel):
    """One model on one endpoint.

    `price` tells where its price is from; prices are in US dollars for a million tokens. `lacks`
    are `models.capabilities.Lack`s that were found out lately, each with the seconds for which it
    is still believed; `service` is the worst of them: the endpoint refuses our key, or has no such
    model. `breaker` is `closed`, `open` or `half-open`. `lacks` and `breaker` are None where Redis
    is away.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    url: str
    tiers: tuple[str, ...]
    price: PriceKind
    input_usd: Decimal | None = None
    cached_input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    lacks: Mapping[str, float] | None = None
    breaker: str | None = None


def distinct(candidates: Candidates) -> list[Candidate]:
    """All candidates of all tiers, each once."""
    found = (each for tier in TIERS for each in of_tier(candidates, tier))
    return list(dict.fromkeys(found))


def standings(
    candidates: Candidates,
    *,
    prices: Prices,
    records: CapabilityRecords,
    lacks: Mapping[Candidate, Mapping[str, float]] | None,
    breakers: Mapping[str, Record] | None,
) -> list[ModelStanding]:
    """How they stand; `lacks` and `breakers` are what the fleet knows, None where that is away."""
    return [
        _standing(
            each,
            tiers=[tier for tier in TIERS if each in of_tier(candidates, tier)],
            prices=prices,
            url=records.url_of(each),
            lacks=None if lacks is None else lacks.get(each, {}),
            breakers=breakers,
        )
        for each in distinct(candidates)
    ]


def _standing(
    candidate: Candidate,
    *,
    tiers: Sequence[str],
    prices: Prices,
    url: str,
    lacks: Mapping[str, float] | None,
    breakers: Mapping[str, Record] | None,
) -> ModelStanding:
    name = str(candidate)
    price = prices.price(name)
    known = None if breakers is None else breakers.get(f"model {name}")
    return ModelStanding(
        model=name,
        url=url,
        tiers=tuple(tiers),
        price=_price_kind(prices, name),
        input_usd=price.input_usd if price else None,
        cached_input_usd=price.cached_input_usd if price else None,
        output_usd=price.output_usd if price else None,
        lacks=lacks,
        breaker=None if breakers is None else known.state if known else "closed",
    )


def _price_kind(prices: Prices, name: str) -> PriceKind:
    free = prices.is_free(name)
    if free is None:
        return "unknown"
    if free:
        return "free"
    return "named" if prices.is_named(name) else "capped"
