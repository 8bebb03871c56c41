"""`fleetctl models`: what models can do and cost, what they were asked, and what was saved."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fleet_contracts.errors import ConfigurationError, InvalidInput
from fleet_workers.cli.terminal import console, new_table, require_tenant, store_transaction
from fleet_workers.settings import Settings, load_settings
from fleet_workers.store.model_use import ModelUse, Savings, savings, used
from fleet_workers.store.spend import as_usd

if TYPE_CHECKING:
    from fleet_workers.models.prices import Prices
    from fleet_workers.models.probing import Probe
    from fleet_workers.models.standing import ModelStanding

_NONE = "-"
_MOST_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """All that is shown. `fault` says why there are no `models`."""

    day: date
    prices: "Prices"
    models: "Sequence[ModelStanding]"
    fault: str | None
    probes: "Sequence[Probe]"
    use: Sequence[ModelUse]
    saved: Sequence[Savings]


def show_models(
    tenant: Annotated[str | None, typer.Option(help="Use by this tenant only.")] = None,
    day: Annotated[str | None, typer.Option(help="Use on this day (UTC), as 2026-01-31.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs, on one line.")] = False,
    probe: Annotated[bool, typer.Option(help="Ask each model a short question first.")] = False,
) -> None:
    """Print how each model stands, and what was asked, spent and saved on a day, today by default.

    A probe costs what a short call does, and no budget counts it.
    What a model cannot do is found out by asking it, and believed for an hour. What is `saved` is
    against one call of its own for every reply, and by tiers against the agent's highest tier.
    """
    settings, chosen = load_settings(), _day(day)
    probes = _probe(settings) if probe else []
    report = _read(settings, tenant, chosen, probes)
    if as_json:
        typer.echo(json.dumps(_as_json(report)))
        return
    _print_probes(report.probes)
    _print_models(report)
    if not report.use:
        console.print(f"Nothing was asked on {report.day.isoformat()} (UTC).")
        return
    _print_use(report)
    _print_savings(report.saved)


def _probe(settings: Settings) -> "Sequence[Probe]":
    from fleet_workers.models.configuration import addresses_of, asking_of, candidates_of
    from fleet_workers.models.prices import load_prices
    from fleet_workers.models.probing import probe
    from fleet_workers.models.standing import distinct
    from fleet_workers.resilience.redis_link import open_link

    with closing(open_link(settings.redis_url)) as link:
        return probe(
            distinct(candidates_of(settings)),
            addresses=addresses_of(settings),
            prices=load_prices(settings.prices),
            asking=asking_of(settings, link),
        )


def _read(settings: Settings, tenant: str | None, day: date, probes: "Sequence[Probe]") -> _Report:
    from fleet_workers.models.prices import load_prices

    prices = load_prices(settings.prices)
    with store_transaction() as connection:
        if tenant is not None:
            require_tenant(connection, tenant)
        use = used(connection, since=day, until=day, tenant=tenant)
    models: Sequence[ModelStanding] = []
    fault = None
    try:
        models = _standings(settings, prices)
    except ConfigurationError as error:
        fault = str(error)
    return _Report(
        day=day,
        prices=prices,
        models=models,
        fault=fault,
        probes=probes,
        use=use,
        saved=savings(use),
    )


def _standings(settings: Settings, prices: "Prices") -> "Sequence[ModelStanding]":
    from fleet_workers.models.configuration import candidates_of, records_of
    from fleet_workers.models.standing import distinct, standings
    from fleet_workers.resilience.breaker_records import read_records
    from fleet_workers.resilience.redis_link import RedisAway, open_link

    candidates = candidates_of(settings)
    with closing(open_link(settings.redis_url)) as link:
        records = records_of(settings, link)
        try:
            lacks, breakers = records.all(distinct(candidates)), read_records(link)
        except RedisAway:
            return standings(candidates, prices=prices, records=records, lacks=None, breakers=None)
    return standings(candidates, prices=prices, records=records, lacks=lacks, breakers=breakers)


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no day: write it as 2026-01-31.") from error


def _as_json(report: _Report) -> dict[str, object]:
    as_of = report.prices.as_of
    return {
        "day": report.day.isoformat(),
        "prices": {
            "as_of": as_of.isoformat() if as_of else None,
            "old": report.prices.is_old(datetime.now(UTC).date()),
        },
        "models": [each.model_dump(mode="json") for each in report.models],
        "fault": report.fault,
        "probes": [each.model_dump(mode="json") for each in report.probes],
        "use": [each.model_dump(mode="json") for each in report.use],
        "saved": [each.model_dump(mode="json") for each in report.saved],
    }


def _print_probes(probes: "Sequence[Probe]") -> None:
    for each in probes:
        if each.fault is not None:
            said = f"{each.model}: no answer. {each.fault}"
        else:
            cost = "unknown" if each.cost_usd is None else as_usd(each.cost_usd)
            calls = "" if each.calls_tools else " It answered in words and called no tool."
            said = f"{each.model}: answered after {each.seconds} s, cost {cost}.{calls}"
        console.print(said, markup=False)


def _print_models(report: _Report) -> None:
    if report.fault is not None:
        console.print(f"No model is set here: {escape(report.fault)}")
        return
    table = new_table("model", "endpoint", "tiers", "price", "breaker", "cannot")
    for each in report.models:
        table.add_row(
            escape(each.model),
            escape(each.url),
            ", ".join(each.tiers),
            _price(each),
            each.breaker or "not known",
            escape(_cannot(each.lacks)),
        )
    console.print(table)
    if any(each.price in {"named", "capped"} for each in report.models):
        _print_age(report.prices)
    if any(each.price == "unknown" for each in report.models):
        console.print("Of unknown price: where costs are limited, such a model is not asked.")
    if any("service" in (each.lacks or {}) for each in report.models):
        console.print(
            "service: the endpoint refuses our key, or has no such model. Check OPENAI_API_KEY "
            "and FLEET_MODEL_\u2026; the workers' logs say more under model.misconfigured."
        )


def _print_age(prices: "Prices") -> None:
    console.print(f"Prices in US dollars for a million tokens, in and out, as of {prices.as_of}.")
    if prices.is_old(datetime.now(UTC).date()):
        console.print(
            "They are old: compare them with your provider's, and name a file of your own with "
            "FLEET_PRICES."
        )


def _price(model: "ModelStanding") -> str:
    if model.input_usd is None or model.output_usd is None:
        return model.price
    if model.price == "free":
        return "free"
    capped = " (cap)" if model.price == "capped" else ""
    return f"{_plain(model.input_usd)} / {_plain(model.output_usd)}{capped}"


def _plain(amount: Decimal) -> str:
    return f"{amount:f}".rstrip("0").rstrip(".") if "." in f"{amount:f}" else f"{amount:f}"


def _cannot(lacks: Mapping[str, float] | None) -> str:
    if lacks is None:
        return "not known: Redis is away"
    return ", ".join(sorted(lacks)) or _NONE


def _print_use(report: _Report) -> None:
    table = new_table("tenant", "agent", "model", "tier", "from")
    for name in ("calls", "tokens in", "cached", "out", "cost", "unknown cost"):
        table.add_column(name, justify="right")
    for each in report.use[:_MOST_ROWS]:
        table.add_row(
            escape(each.tenant),
            escape(each.agent),
            escape(each.model),
            each.tier,
            each.source,
            f"{each.calls:,}",
            f"{each.prompt_tokens:,}",
            f"{each.cached_tokens:,}",
            f"{each.completion_tokens:,}",
            as_usd(each.cost_usd),
            f"{each.unpriced:,}" if each.unpriced else _NONE,
        )
    console.print(f"Asked on {report.day.isoformat()} (UTC):")
    console.print(table)
    if len(report.use) > _MOST_ROWS:
        console.print("\u2026 and more: name a tenant, or use --json.")


def _print_savings(saved: Sequence[Savings]) -> None:
    table = new_table("tenant", "agent")
    for name in ("calls", "cost", "given again", "saved", "in batches", "saved", "saved by tiers"):
        table.add_column(name, justify="right")
    for each in (*saved, _total(saved)):
        table.add_row(
            escape(each.tenant),
            escape(each.agent),
            f"{each.calls:,}",
            as_usd(each.cost_usd),
            f"{each.from_store:,}",
            as_usd(each.saved_by_store_usd),
            f"{each.in_batches:,}",
            as_usd(each.saved_by_batches_usd),
            as_usd(each.saved_by_tiers_usd),
        )
    console.print(table)


def _total(saved: Sequence[Savings]) -> Savings:
    names = set(Savings.model_fields) - {"tenant", "agent"}
    sums = {name: sum((getattr(each, name) for each in saved), 0) for name in names}
    return Savings.model_validate({"tenant": "all", "agent": "", **sums})
