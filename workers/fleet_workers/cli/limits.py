"""`fleetctl limits`: how many tasks of a tenant or agent run at once or start, and weights."""

from typing import Annotated

import typer
from rich.markup import escape

from fleet_workers.cli.terminal import (
    console,
    new_table,
    operator,
    require_tenant,
    store_transaction,
)
from fleet_workers.settings import load_settings
from fleet_workers.store import limits
from fleet_workers.store.limits import EVERY, Limit

commands = typer.Typer(help="Limits of tenants and agents.", no_args_is_help=True)

OfTenant = Annotated[str, typer.Option("--tenant", help="A tenant; * for all together.")]
OfAgent = Annotated[str, typer.Option("--agent", help="An agent; * for all together.")]


@commands.command("set")
def set_limit(
    tenant: OfTenant = EVERY,
    agent: OfAgent = EVERY,
    concurrency: Annotated[
        int | None, typer.Option(help="The most tasks that run at once, over the whole fleet.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="The most that start in a span: 10/second, 100/minute.")
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="A tenant's share of a busy pool; 1 is the usual one.")
    ] = None,
) -> None:
    """Limit a tenant, an agent or both. It holds for the next task that begins anywhere."""
    _require_agent(agent)
    with store_transaction() as connection:
        if tenant != EVERY:
            require_tenant(connection, tenant)
        found = limits.set_limit(
            connection,
            tenant=tenant,
            agent=agent,
            concurrency=concurrency,
            rate=None if rate is None else _parse(rate),
            weight=weight,
            set_by=operator(),
        )
    console.print(f"{_whose(tenant, agent)}: {_told(found)}.", markup=False, soft_wrap=True)


@commands.command("clear")
def clear_limit(tenant: OfTenant = EVERY, agent: OfAgent = EVERY) -> None:
    """Take a limit away, named as it was set; others over the same tasks stay."""
    with store_transaction() as connection:
        was_set = limits.clear_limit(connection, tenant=tenant, agent=agent, cleared_by=operator())
    said = "not limited any more" if was_set else "was not limited"
    console.print(f"{_whose(tenant, agent)}: {said}.", markup=False, soft_wrap=True)


@commands.command("list")
def list_limits() -> None:
    """Print every limit and weight."""
    with store_transaction() as connection:
        found = limits.all_limits(connection)
    table = new_table("tenant", "agent", "at once", "starts", "weight", "since", "by")
    for each in found:
        row = (
            each.tenant,
            each.agent,
            _or_dash(each.concurrency),
            _rate(each),
            _or_dash(each.weight),
            each.set_at.isoformat(timespec="seconds"),
            each.set_by,
        )
        table.add_row(*map(escape, row))
    console.print(table)


def _parse(text: str) -> tuple[int, float]:
    from fleet_workers.resilience.limits import parse_rate

    rate = parse_rate(text)
    return rate.amount, float(rate.get_expiry())


def _require_agent(name: str) -> None:
    from fleet_contracts.envelope import AUTO_AGENT
    from fleet_workers.agents import load_catalogue

    if name not in {EVERY, AUTO_AGENT}:
        load_catalogue(load_settings().agents_path).get(name)


def _told(limit: Limit) -> str:
    parts = []
    if limit.concurrency is not None:
        parts.append(f"at most {limit.concurrency} at once")
    if limit.starts is not None:
        parts.append(f"at most {limit.starts} starts in {limit.span_seconds:g} s")
    if limit.weight is not None:
        parts.append(f"weight {limit.weight:g}")
    return ", ".join(parts)


def _rate(limit: Limit) -> str:
    if limit.starts is None or limit.span_seconds is None:
        return "-"
    return f"{limit.starts} in {limit.span_seconds:g} s"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _whose(tenant: str, agent: str) -> str:
    whose = "All tenants" if tenant == EVERY else f"Tenant {tenant}"
    return whose if agent == EVERY else f"{whose}, agent {agent}"
