"""What the web process is given to work with."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, Self

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.ports import Ports
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.store.row_security import for_tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """How people stay signed in.

    `secret` signs the session cookies; several web processes behind one address need the same.
    The default is made afresh with the process, so a restart signs everybody out.
    """

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    session: timedelta = timedelta(hours=8)


@dataclass(slots=True)
class Sight:
    """The tenant whose rows a request may see. None is all: so until its key was read."""

    tenant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebResources:
    """Everything outside the web process that it uses.

    `publish` sends letters of the outbox right after their commit. It never raises: a letter that
    the broker did not take stays in the outbox, and the janitor sends it later. `open_ports` opens
    the model and the tools for a dry run of dead letters, and raises ConfigurationError where a
    setting is missing; without it there are no dry runs.
    """

    engine: Engine
    catalogue: AgentCatalogue
    publish: Callable[[list[Letter]], None]
    open_ports: Callable[[], AbstractContextManager[Ports]] | None = None
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    sight: Sight = field(default_factory=Sight)

    def for_request(self) -> Self:
        """The same for one request, which may be bound to a tenant."""
        return replace(self, sight=Sight())

    def show_only(self, tenant: str | None) -> None:
        """Bind what follows in this request to a tenant: PostgreSQL shows it no other's rows."""
        self.sight.tenant = tenant

    @property
    def store(self) -> Engine:
        """The store as far as this request may see it."""
        tenant = self.sight.tenant
        return self.engine if tenant is None else for_tenant(self.engine, tenant)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction in the store, bound to the tenant of the request's key.

        Raises:
            Unavailable: The store is away; nothing is known to be written.
        """
        with store_errors(), self.store.begin() as connection:
            yield connection


def _resources(request: Request) -> WebResources:
    resources: WebResources = request.app.state.resources
    return resources.for_request()


Resources = Annotated[WebResources, Depends(_resources)]
"""Hands an endpoint, and what it depends on, the one copy of the resources for this request."""
