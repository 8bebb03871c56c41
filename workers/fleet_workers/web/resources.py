"""What the web process is given to work with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Self

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.ports import Ports
from fleet_workers.desk_file import SignInSection
from fleet_workers.resilience.breaker_records import Record
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.review.decisions import Remember, forget
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter
from fleet_workers.store.row_security import for_tenant
from fleet_workers.web.oidc import SingleSignOn
from fleet_workers.web.queue_depths import QueueDepths


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """How people sign in, and how long they stay so.

    `public_url` is where their browsers reach the console, where it is not what a request says.
    """

    sign_in: SignInSection = field(default_factory=SignInSection)
    single_sign_on: SingleSignOn | None = None
    public_url: str | None = None


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
    `read_breakers` tells what the fleet knows of its circuit breakers, `read_unserved` which models
    an endpoint does not serve; both raise RedisAway.
    `queue_depths` tells how many messages wait on the broker.
    `remember` adds what people answer to the session's memory.
    `limits` counts tries to sign in; the default counts those of this process only.
    `minutes_saved` are those of a task that an agent ends alone, by agent, `*` for the others.
    """

    engine: Engine
    catalogue: AgentCatalogue
    publish: Callable[[list[Letter]], None]
    open_ports: Callable[[], AbstractContextManager[Ports]] | None = None
    read_breakers: Callable[[], Mapping[str, Record]] | None = None
    read_unserved: Callable[[], Sequence[str]] | None = None
    queue_depths: QueueDepths | None = None
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    remember: Remember = forget
    limits: RateLimits = field(default_factory=lambda: RateLimits(None))
    minutes_saved: Mapping[str, float] = field(default_factory=dict)
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
