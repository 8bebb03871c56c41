"""The desk that every request comes to: who asks for whom, under which key, on which database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from fleet_workers.embedded.business.database import BusinessDatabase
from fleet_workers.embedded.business.effects import Caller, Work, perform, require_customer
from fleet_workers.embedded.business.problems import PROBLEM_TYPE, Refused
from fleet_workers.embedded.business.seed import TENANTS


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicDesk:
    """Serves what all customers of a tenant may see: plans, help, service status, free slots."""

    database: BusinessDatabase
    tenant: str

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection to read with."""
        with self.database.reading() as connection:
            yield connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Serves one customer, who sees and changes nothing of anybody else."""

    database: BusinessDatabase
    caller: Caller
    key: str | None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection to read with.

        Raises:
            Refused: 404, where there is no such customer of this tenant.
        """
        with self.database.reading() as connection:
            require_customer(connection, self.caller)
            yield connection

    def perform(self, action: str, arguments: dict[str, Any], work: Work) -> JSONResponse:
        """Do `work` once for this request's idempotency key, and answer with what came of it."""
        effect = perform(self.database, self.caller, action, arguments, work, key=self.key)
        return JSONResponse(
            effect.answer,
            status_code=effect.status,
            media_type=PROBLEM_TYPE if effect.status >= 400 else "application/json",  # noqa: PLR2004  HTTP's own border
            headers={"X-Effect": effect.outcome},
        )


async def _public_desk(request: Request, x_tenant: Annotated[str, Header()]) -> PublicDesk:
    if x_tenant not in TENANTS:
        raise Refused(404, f"There is no tenant {x_tenant}.")
    return PublicDesk(database=request.app.state.database, tenant=x_tenant)


async def _desk(
    request: Request,
    x_tenant: Annotated[str, Header()],
    x_customer: Annotated[str, Header()],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> Desk:
    return Desk(
        database=request.app.state.database,
        caller=Caller(tenant=x_tenant, customer=x_customer),
        key=idempotency_key,
    )


AtPublicDesk = Annotated[PublicDesk, Depends(_public_desk)]
AtDesk = Annotated[Desk, Depends(_desk)]
