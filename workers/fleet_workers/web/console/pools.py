"""Queues and pools in the console: what waits, who works, and whether somebody is there for it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.store import pauses
from fleet_workers.store.engine import store_errors
from fleet_workers.store.model_use import savings, used
from fleet_workers.store.pauses import EVERY
from fleet_workers.store.pools import Pool, Worker, load_by_agent, pools, workers_alive
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.resources import Resources, WebResources

router = APIRouter(prefix="/console/pools")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLine:
    """An agent's pool. `messages` is None where the broker does not tell.

    `is_offline` marks tasks that wait for a pool with no living process.
    """

    pool: Pool
    is_paused: bool
    messages: int | None

    @property
    def is_offline(self) -> bool:
        """Whether tasks wait that nobody will take."""
        return self.pool.processes == 0 and self.pool.load.queued > 0 and not self.is_paused


@router.get("")
def show_pools(request: Request, resources: Resources, holder: Visitor) -> Response:
    """Every agent's queue and pool, the worker processes, and what models took today."""
    with resources.transaction() as connection:
        loads = load_by_agent(connection, tenant=holder.sees)
        paused = pauses.all_pauses(connection)
        use = used(connection, since=datetime.now(UTC).date(), tenant=holder.sees)
    workers = _workers(resources)
    standing = pools(loads, workers, {*resources.catalogue.names, AUTO_AGENT})
    agents = [each.agent for each in standing]
    depths = resources.queue_depths.look(agents) if resources.queue_depths is not None else None
    here = {EVERY, holder.tenant}
    lines = [
        PoolLine(
            pool=each,
            is_paused=any(
                pause.agent in {EVERY, each.agent} and pause.tenant in here for pause in paused
            ),
            messages=(depths or {}).get(each.agent),
        )
        for each in standing
    ]
    return page(
        request,
        "pools.html",
        holder=holder,
        lines=lines,
        saved=savings(use),
        fleet_wide=holder.sees is None,
        workers=workers if holder.sees is None else [],
        not_whole=any(not each.is_whole for each in workers),
        broker_known=depths is not None,
    )


def _workers(resources: WebResources) -> list[Worker]:
    """Workers belong to the fleet: a tenant sees how many serve it, and nothing else of them."""
    with store_errors(), resources.engine.begin() as connection:
        return workers_alive(connection)
