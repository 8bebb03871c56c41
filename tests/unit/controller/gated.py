"""The machine's world behind a real gatekeeper: money, rates, breakers, switches and rights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select

from fleet_workers.agents import AgentCatalogue
from fleet_workers.agents.bounds import Rates, SpendLimits
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.models.prices import Price, Prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.resilience.redis_link import RedisLink
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.store.money_tables import spend_entries, spend_totals
from fleet_workers.store.switchboard import Switchboard
from fleet_workers.store.use_counter import NoteUse, ignore
from fleet_workers.tools import ToolRegistry
from unit.machine.ground import World
from unit.machine.process import struck_core
from unit.machine.writer import Writer

COST = Decimal("0.01")
MODEL = "paid"


@dataclass
class PricedWriter:
    """The machine's model, each of whose answers costs a cent, or an unknown sum."""

    writer: Writer
    cost_usd: Decimal | None = COST

    def complete(self, request: ChatRequest) -> ChatReply:
        return replace(self.writer.complete(request), cost_usd=self.cost_usd)


class GatedWorld(World):
    """A fleet of one agent, `clerk`, whose refunds move money."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.board = Switchboard(engine)
        self.board.start()
        self.breakers = Breakers(failures=1, open_seconds=0.4)
        self.prices = Prices(by_model={})
        self.ports = replace(self.ports, model=PricedWriter(self.writer))
        self.guard()

    def guard(
        self,
        *,
        ledger: Engine | None = None,
        link: RedisLink | None = None,
        note_use: NoteUse = ignore,
    ) -> None:
        """Work on as another process, whose store or Redis this may be."""
        gatekeeper = Gatekeeper(
            guards=Guards(breakers=self.breakers, limits=RateLimits(link), switches=self.board),
            engine=ledger or self.engine,
            prices=self.prices,
            models={"small": [MODEL]},
            max_output_tokens=100,
            note_use=note_use,
        )
        self.ports = replace(self.ports, admission=gatekeeper)

    def price(self, usd_of_a_million: str) -> None:
        price = Price(input_usd=Decimal(0), output_usd=Decimal(usd_of_a_million))
        self.prices = Prices(by_model={MODEL: price})
        self.guard()

    def agent_file(
        self, *, refund: dict[str, Any] | None = None, rates: dict[str, str] | None = None,
        spend: dict[str, Any] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """What agent.toml and the tool's declaration say."""
        release = self.catalogue.get("clerk")
        tools = [
            replace(each, **{"money": "amount", **(refund or {})})
            if each.name == "refund"
            else each
            for each in release.tools
        ]
        update = {
            "approvals": {},
            "spend": SpendLimits.model_validate(spend or {}),
            "rates": Rates.model_validate(rates or {}),
            **more,
        }
        manifest = release.manifest.model_copy(update=update)
        release = replace(release, manifest=manifest, tools=ToolRegistry(tools))
        self.catalogue = AgentCatalogue([release])

    def total(self, subject: str = "tenant acme", kind: str = "moved") -> Decimal:
        query = select(func.sum(spend_totals.c.amount_usd)).where(
            spend_totals.c.subject == subject, spend_totals.c.kind == kind
        )
        with self.engine.connect() as connection:
            return connection.execute(query).scalar() or Decimal(0)

    def entries(self, kind: str = "moved") -> list[tuple[str, Decimal]]:
        query = (
            select(spend_entries.c.state, spend_entries.c.amount_usd)
            .where(spend_entries.c.kind == kind)
            .order_by(spend_entries.c.created_at)
        )
        with self.engine.connect() as connection:
            return [(row.state, row.amount_usd) for row in connection.execute(query)]

    def review(self) -> Any:
        """The one item that waits for a person."""
        (found,) = [each for each in self.rows("reviews") if each.state == "waiting"]
        return found

    def say(self, ruling: Ruling, words: str = "") -> None:
        """Decide the item that waits."""
        item = self.review().id
        self.change(
            lambda connection: decide(
                connection, item, tenant=None, ruling=ruling, text=words, decided_by="ann"
            )
        )

    def state(self, task_id: UUID) -> str:
        row = self.task(task_id)
        assert row is not None
        return str(row.state)

    def attempts(self, task_id: UUID) -> int:
        row = self.task(task_id)
        assert row is not None
        return int(row.attempts)

    def paid_out(self) -> Decimal:
        return sum((each.amount or Decimal(0) for each in self.business.effects), Decimal(0))

    def close(self) -> None:
        self.board.stop()
        super().close()


@contextmanager
def gated_world(engine: Engine) -> Iterator[GatedWorld]:
    with struck_core():
        world = GatedWorld(engine)
        world.agent_file()
        yield world
        world.close()


def fail_once(world: GatedWorld, tool: str, error: Exception) -> None:
    """Open a tool's breaker."""

    def broken() -> None:
        raise error

    with pytest.raises(type(error)):
        world.breakers.call(f"tool {tool}", broken)
