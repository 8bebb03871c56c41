"""What was moved and what it cost, by tenant, agent and day."""

from datetime import date
from decimal import Decimal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, Numeric, case, func, select

from fleet_workers.store.money_tables import spend_entries


class Spent(BaseModel):
    """What one tenant's agent spent on a day (UTC), in US dollars.

    `reserved_usd` is the part of both sums of which it is not known yet whether it was spent.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    agent: str
    day: date
    moved_usd: Decimal
    cost_usd: Decimal
    reserved_usd: Decimal
    entries: int


def spent(
    connection: Connection, *, tenant: str | None, since: date, limit: int = 500
) -> list[Spent]:
    """The newest days first, in a day the largest sums first."""
    entry = spend_entries.c
    sums = [
        func.sum(case((condition, entry.amount_usd), else_=0), type_=Numeric).label(name)
        for name, condition in (
            ("moved_usd", entry.kind == "moved"),
            ("cost_usd", entry.kind == "cost"),
            ("reserved_usd", entry.state == "reserved"),
        )
    ]
    query = (
        select(entry.tenant, entry.agent, entry.day, *sums, func.count().label("entries"))
        .where(entry.day >= since, entry.state != "released")
        .group_by(entry.tenant, entry.agent, entry.day)
        .order_by(entry.day.desc(), func.sum(entry.amount_usd).desc(), entry.tenant, entry.agent)
        .limit(limit)
    )
    if tenant is not None:
        query = query.where(entry.tenant == tenant)
    return [Spent.model_validate(dict(row)) for row in connection.execute(query).mappings()]
