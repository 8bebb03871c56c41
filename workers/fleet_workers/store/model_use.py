"""What models were asked, what it cost and what was saved, summed up by day (UTC)."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Numeric, func, literal_column, select

from fleet_workers.store.model_tables import model_days
from fleet_workers.store.statement import Statement

SHARDS: Final = 8
"""Rows of a day that are alike in all else: processes that write at once mostly hold others."""

FROM_STORE: Final = frozenset({"exact_cache", "semantic_cache", "in_flight"})
IN_BATCHES: Final = frozenset({"batch", "batch_api"})
"""Sources of `models.asked_for.Source`, by what saved the call."""

_MOST_CHARACTERS = 200  # an endpoint says what it likes about the name of its model

_TODAY: Any = literal_column("(now() AT TIME ZONE 'UTC')::date")

_NOTE = Statement("""
    INSERT INTO model_days AS m (
        day, tenant, agent, model, tier, source, shard, calls, prompt_tokens, completion_tokens,
        cached_tokens, unpriced, cost_usd, saved_usd, saved_by_tier_usd
    ) VALUES (
        CAST(now() AT TIME ZONE 'UTC' AS date), :tenant, :agent, :model, :tier, :source, :shard,
        :calls, :prompt_tokens, :completion_tokens, :cached_tokens, :unpriced, :cost_usd,
        :saved_usd, :saved_by_tier_usd
    )
    ON CONFLICT (day, tenant, agent, model, tier, source, shard) DO UPDATE SET
        calls = m.calls + excluded.calls,
        prompt_tokens = m.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = m.completion_tokens + excluded.completion_tokens,
        cached_tokens = m.cached_tokens + excluded.cached_tokens,
        unpriced = m.unpriced + excluded.unpriced,
        cost_usd = m.cost_usd + excluded.cost_usd,
        saved_usd = m.saved_usd + excluded.saved_usd,
        saved_by_tier_usd = m.saved_by_tier_usd + excluded.saved_by_tier_usd
    RETURNING shard
""")


class UseKey(NamedTuple):
    """What replies have in common that are summed up."""

    tenant: str
    agent: str
    model: str
    tier: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums over replies; money in US dollars. `unpriced` are those of unknown cost."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    unpriced: int
    cost_usd: Decimal
    saved_usd: Decimal
    saved_by_tier_usd: Decimal

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(**{each: getattr(self, each) + getattr(other, each) for each in _NAMES})


_NAMES = tuple(each.name for each in fields(Sums))


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One reply of a model, or what stood in for one; `source` is a `models.asked_for.Source`.

    `cost_usd` is None where it is not known. `saved_usd` is what a call of its own would have cost
    more, `saved_by_tier_usd` what the agent's highest tier would have; that is below zero where a
    smaller tier was asked in vain.
    """

    tenant: str
    agent: str
    model: str
    tier: str
    source: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: Decimal | None = None
    saved_usd: Decimal = Decimal(0)
    saved_by_tier_usd: Decimal = Decimal(0)

    @property
    def key(self) -> UseKey:
        """What it is summed up by."""
        storable = self.model.replace("\0", "").encode("utf-8", "replace").decode()
        model = storable[:_MOST_CHARACTERS]
        return UseKey(self.tenant, self.agent, model, self.tier, self.source)

    @property
    def sums(self) -> Sums:
        """What it adds."""
        return Sums(
            calls=1,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cached_tokens=self.cached_tokens,
            unpriced=int(self.cost_usd is None),
            cost_usd=self.cost_usd or Decimal(0),
            saved_usd=self.saved_usd,
            saved_by_tier_usd=self.saved_by_tier_usd,
        )


class ModelUse(BaseModel):
    """Sums over all replies of a day that are alike. `unpriced` are those of unknown cost."""

    model_config = ConfigDict(frozen=True)

    day: date
    tenant: str
    agent: str
    model: str
    tier: str
    source: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    unpriced: int
    cost_usd: Decimal
    saved_usd: Decimal
    saved_by_tier_usd: Decimal


class Savings(BaseModel):
    """What an agent's calls for a tenant cost, and what was saved, in US dollars.

    `from_store` are replies that were given again, or shared in flight; `in_batches` those that
    came of a call for several tasks, or of the provider's Batch API.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    agent: str
    calls: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced: int = 0
    from_store: int = 0
    saved_by_store_usd: Decimal = Decimal(0)
    in_batches: int = 0
    saved_by_batches_usd: Decimal = Decimal(0)
    saved_by_tiers_usd: Decimal = Decimal(0)


def savings(uses: Sequence[ModelUse]) -> list[Savings]:
    """Sums over models and tiers, by tenant and agent."""
    found: dict[tuple[str, str], Savings] = {}
    for use in uses:
        key = (use.tenant, use.agent)
        so_far = found.get(key) or Savings(tenant=use.tenant, agent=use.agent)
        found[key] = so_far.model_copy(update=_added(so_far, use))
    return [found[key] for key in sorted(found)]


def note_sums(connection: Connection, found: Mapping[UseKey, Sums]) -> None:
    """Add sums to those of today.

    All go to one shard and in one order, so that transactions which write at once never wait for
    each other in a ring.
    """
    shard = random.randrange(SHARDS)  # noqa: S311 any will do
    for key in sorted(found):
        sums = found[key]
        values = {name: getattr(sums, name) for name in _NAMES}
        _NOTE.run(connection, {**key._asdict(), **values, "shard": shard})


def used(
    connection: Connection, *, since: date, until: date | None = None, tenant: str | None = None
) -> list[ModelUse]:
    """The sums of the days from `since` to `until`, the newest and dearest first."""
    day = model_days.c
    alike = (day.day, day.tenant, day.agent, day.model, day.tier, day.source)
    counts = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "unpriced")
    amounts = ("cost_usd", "saved_usd", "saved_by_tier_usd")
    sums = [func.sum(day[name], type_=Numeric).label(name) for name in (*counts, *amounts)]
    query = (
        select(*alike, *sums)
        .where(day.day >= since)
        .group_by(*alike)
        .order_by(day.day.desc(), func.sum(day.cost_usd).desc(), *alike[1:])
    )
    if until is not None:
        query = query.where(day.day <= until)
    if tenant is not None:
        query = query.where(day.tenant == tenant)
    return [ModelUse.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def used_today(connection: Connection) -> list[dict[str, Any]]:
    """The sums of today over all tenants, by agent, model, tier and source."""
    day = model_days.c
    alike = (day.agent, day.model, day.tier, day.source)
    sums = {
        "calls": day.calls,
        "input_tokens": day.prompt_tokens,
        "cached_tokens": day.cached_tokens,
        "output_tokens": day.completion_tokens,
        "unpriced": day.unpriced,
        "cost_usd": day.cost_usd,
        "saved_usd": day.saved_usd,
        "saved_by_tier_usd": day.saved_by_tier_usd,
    }
    columns = [func.sum(column, type_=Numeric).label(name) for name, column in sums.items()]
    query = select(*alike, *columns).where(day.day == _TODAY).group_by(*alike).order_by(*alike)
    return [
        {name: float(value) if name in sums else value for name, value in row.items()}
        for row in connection.execute(query).mappings()
    ]


def _added(so_far: Savings, use: ModelUse) -> dict[str, Any]:
    sums: dict[str, Any] = {
        "calls": so_far.calls + use.calls,
        "cost_usd": so_far.cost_usd + use.cost_usd,
        "unpriced": so_far.unpriced + use.unpriced,
        "saved_by_tiers_usd": so_far.saved_by_tiers_usd + use.saved_by_tier_usd,
    }
    if use.source in FROM_STORE:
        sums["from_store"] = so_far.from_store + use.calls
        sums["saved_by_store_usd"] = so_far.saved_by_store_usd + use.saved_usd
    elif use.source in IN_BATCHES:
        sums["in_batches"] = so_far.in_batches + use.calls
        sums["saved_by_batches_usd"] = so_far.saved_by_batches_usd + use.saved_usd
    return sums
