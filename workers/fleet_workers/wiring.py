"""The composition root: builds every part from the settings. Nothing else reads them."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import redis
from sqlalchemy import Engine

from fleet_contracts.errors import ConfigurationError
from fleet_workers.agents import AgentCatalogue, load_catalogue
from fleet_workers.broker.postman import Postman
from fleet_workers.controller.admission import Everything
from fleet_workers.controller.execution import Apart, Executor
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.controller.ports import Ports
from fleet_workers.controller.settlement import Settlement
from fleet_workers.memory.session import SessionMemory
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.prices import Prices, load_prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.settings import Settings
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.engine import open_engine, store_errors
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.store.switchboard import Switchboard
from fleet_workers.store.version import check_version
from fleet_workers.tools.runtime import ToolRuntime

_PRESENCES = 2**31  # an advisory lock has two halves of 31 bits
_RENEWALS_MISSED = 2.5  # after so many intervals without a sign a worker that is gone is dead
_REDIS_TIMEOUT_SECONDS = 2.0  # session memory is a help; a task does not wait long for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What every process of the fleet needs: the store, the agents and the way to the broker."""

    settings: Settings
    engine: Engine
    catalogue: AgentCatalogue
    postman: Postman


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """What a worker process needs beyond that. Set `draining` to hand tasks back."""

    core: Core
    executor: Executor
    leases: LeaseKeeper
    draining: Event


@contextmanager
def open_core(settings: Settings, *, application: str, ping: bool = True) -> Iterator[Core]:
    """Open the store and the broker, and close them in the end; `ping` as in `open_engine`.

    Raises:
        ConfigurationError: An agent is wrong, or the store's version is another.
        Unavailable: The store is away.
    """
    catalogue = load_catalogue(settings.agents_path)
    engine = open_engine(
        settings.sqlalchemy_url,
        connections=settings.store_connections,
        application=application,
        ping=ping,
    )
    try:
        with store_errors(), engine.connect() as connection:
            check_version(connection)
        postman = Postman(engine, settings.broker_url)
        try:
            yield Core(settings=settings, engine=engine, catalogue=catalogue, postman=postman)
        finally:
            postman.close()
    finally:
        engine.dispose()


@contextmanager
def open_worker(
    core: Core, *, isolate: Callable[[Claim, Event], Apart] | None = None
) -> Iterator[WorkerParts]:
    """Open what a worker works with, and close it in the end; `isolate` as in `Executor`."""
    settings = core.settings
    worker = f"{socket.gethostname()}:{os.getpid()}"
    holder = Holder(
        worker=worker,
        presence=secrets.randbelow(_PRESENCES),
        lease=settings.lease,
        silence=settings.lease_renewal * _RENEWALS_MISSED,
    )
    draining = Event()
    with (
        _open_memory(settings) as memory,
        _open_ports(settings, memory, ledger=core.engine) as ports,
        _open_leases(settings, holder) as leases,
    ):
        executor = Executor(
            holder=holder,
            engine=core.engine,
            catalogue=core.catalogue,
            ports=ports,
            leases=leases,
            settlement=Settlement(
                catalogue=core.catalogue,
                send=core.postman.send,
                remember=memory.remember,
                max_attempts=settings.max_attempts,
                retry_cap=settings.retry_cap,
            ),
            is_draining=draining.is_set,
            max_deliveries=settings.max_deliveries,
            isolate=None if isolate is None else lambda claim: isolate(claim, draining),
        )
        yield WorkerParts(core=core, executor=executor, leases=leases, draining=draining)


@contextmanager
def open_dry_run(settings: Settings) -> Iterator[Ports]:
    """Open the model, the tools and the session memory that a dry run reads with.

    Raises:
        ConfigurationError: No model is set; the text names the setting.
    """
    with _open_memory(settings) as memory, _open_ports(settings, memory) as ports:
        yield ports


@contextmanager
def _open_memory(settings: Settings) -> Iterator[SessionMemory]:
    client = redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=_REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
    )
    try:
        yield SessionMemory(client)
    finally:
        client.close()


@contextmanager
def _open_ports(
    settings: Settings, memory: SessionMemory, *, ledger: Engine | None = None
) -> Iterator[Ports]:
    """Without a ledger no call is admitted or counted: for runs that change nothing."""
    prices, models = load_prices(settings.prices), _models(settings)
    with _open_guards(settings) as guards:
        gateway = _gateway(settings, models, guards.breakers, prices)
        tools = ToolRuntime(breakers=guards.breakers, environment=os.environ)
        try:
            yield Ports(
                model=gateway,
                tools=tools,
                recall=memory.recall,
                environment=os.environ,
                model_timeout_seconds=settings.model_timeout.total_seconds(),
                admission=Everything()
                if ledger is None
                else Gatekeeper(
                    guards=guards,
                    engine=ledger,
                    prices=prices,
                    models=models,
                    max_output_tokens=settings.model_max_output_tokens,
                ),
            )
        finally:
            tools.close()
            gateway.close()


@contextmanager
def _open_guards(settings: Settings) -> Iterator[Guards]:
    link = open_link(settings.redis_url)
    engine = open_engine(
        settings.sqlalchemy_url, connections=1, application=f"switches of {os.getpid()}", ping=False
    )
    switches = Switchboard(engine)
    switches.start()
    try:
        yield Guards(
            breakers=Breakers(
                failures=settings.breaker_failures,
                open_seconds=settings.breaker_open.total_seconds(),
                link=link,
            ),
            limits=RateLimits(link),
            switches=switches,
        )
    finally:
        switches.stop()
        engine.dispose()
        link.close()


@contextmanager
def _open_leases(settings: Settings, holder: Holder) -> Iterator[LeaseKeeper]:
    engine = open_engine(
        settings.sqlalchemy_url, connections=1, application=f"leases of {holder.worker}", ping=False
    )
    leases = LeaseKeeper(engine, holder, every=settings.lease_renewal)
    leases.start()
    try:
        yield leases
    finally:
        leases.stop()
        engine.dispose()


def _models(settings: Settings) -> dict[str, str]:
    """Model names by tier.

    Raises:
        ConfigurationError: None is set.
    """
    if settings.model_small is None:
        raise ConfigurationError(
            "FLEET_MODEL_SMALL is not set: name the model that serves the small tier "
            "(FLEET_MODEL_MEDIUM and FLEET_MODEL_LARGE fall back on it)."
        )
    return {
        "small": settings.model_small,
        "medium": settings.model_medium or settings.model_small,
        "large": settings.model_large or settings.model_medium or settings.model_small,
    }


def _gateway(
    settings: Settings, models: dict[str, str], breakers: Breakers, prices: Prices
) -> Gateway:
    if settings.openai_api_key is None:
        raise ConfigurationError(
            "OPENAI_API_KEY is not set: this process needs a key for the model's endpoint "
            "(any word, where the endpoint asks for none)."
        )
    return Gateway(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        models=models,
        breakers=breakers,
        prices=prices,
    )
