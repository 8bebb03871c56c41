"""What the web process is given to work with."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from fleet_workers.agents import AgentCatalogue
from fleet_workers.controller.ports import Ports
from fleet_workers.store.engine import store_errors
from fleet_workers.store.outbox import Letter


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """How people stay signed in.

    `secret` signs the session cookies; several web processes behind one address need the same.
    The default is made afresh with the process, so a restart signs everybody out.
    """

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    session: timedelta = timedelta(hours=8)


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

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction in the store.

        Raises:
            Unavailable: The store is away; nothing is known to be written.
        """
        with store_errors(), self.engine.begin() as connection:
            yield connection


def _resources(request: Request) -> WebResources:
    resources: WebResources = request.app.state.resources
    return resources


Resources = Annotated[WebResources, Depends(_resources)]
"""Hands an endpoint the process's resources."""
