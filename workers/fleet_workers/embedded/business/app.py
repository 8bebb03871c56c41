"""Puts the sandbox business together: its routes, its database, its faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from sqlalchemy import select

from fleet_workers.embedded.business import billing, faults, onboarding, support, workspaces
from fleet_workers.embedded.business.database import BusinessDatabase
from fleet_workers.embedded.business.desk import AtDesk
from fleet_workers.embedded.business.effects import EffectFilter, list_effects
from fleet_workers.embedded.business.problems import answer_problems
from fleet_workers.embedded.business.seed import TODAY
from fleet_workers.embedded.business.tables import customers


def create_app(database: Path) -> FastAPI:
    """Make the service. The file is created and filled when the service starts, if it is new.

    Everything a customer has is asked for with the headers X-Tenant and X-Customer; a write may
    carry Idempotency-Key. `GET /effects` lists every write that was asked for.
    """

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        app.state.database = BusinessDatabase(database)
        try:
            yield
        finally:
            app.state.database.close()

    app = FastAPI(title="Sandbox business", version="1", lifespan=opened)
    app.state.faults = faults.FaultBox()
    app.add_middleware(faults.FaultInjector, box=app.state.faults)
    answer_problems(app)
    for part in (billing, support, workspaces, onboarding, faults):
        app.include_router(part.router)
    _add_own_routes(app)
    return app


def _add_own_routes(app: FastAPI) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Tell that the service is up, and which day it has."""
        return {"status": "ok", "today": TODAY}

    @app.get("/customer")
    def get_customer(desk: AtDesk) -> dict[str, Any]:
        """The customer's own record."""
        with desk.reading() as connection:
            row = connection.execute(
                select(customers).where(customers.c.id == desk.caller.customer)
            ).mappings()
            return dict(row.one())

    @app.get("/effects")
    def get_effects(
        request: Request, wanted: Annotated[EffectFilter, Query()]
    ) -> dict[str, list[dict[str, Any]]]:
        """Every write that was asked for, oldest first, and what came of it."""
        database: BusinessDatabase = request.app.state.database
        with database.reading() as connection:
            return {"effects": list_effects(connection, wanted)}
