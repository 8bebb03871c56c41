"""The composition root: builds every part from the settings. Nothing else reads them."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from threading import Event

import redis
from sqlalchemy import Engine

from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.agents import AgentCatalogue, load_catalogue
from fleet_workers.broker.postman import Postman
from fleet_workers.controller.admission import Everything
from fleet_workers.controller.execution import Apart, Executor
from fleet_workers.controller.gatekeeper import Gatekeeper
from fleet_workers.controller.model_chain import open_model
from fleet_workers.controller.ports import Ports
from fleet_workers.controller.settlement import Settlement
from fleet_workers.controller.shares import Shares
from fleet_workers.memory.session import SessionMemory
from fleet_workers.models.caching.meaning import unknown_intent
from fleet_workers.models.candidates import Candidates, first_models
from fleet_workers.models.configuration import addresses_of, asking_of, candidates_of
from fleet_workers.models.gateway import Gateway
from fleet_workers.models.price_file import PriceFile
from fleet_workers.models.prices import PriceList
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.guards import Guards
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.resilience.redis_link import RedisLink, open_link
from fleet_workers.routing.port import Router, open_router
from fleet_workers.settings import Settings
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.engine import open_engine, store_errors
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.store.pools import pool_name
from fleet_workers.store.switchboard import Switchboard
from fleet_workers.store.use_counter import counted_use
from fleet_workers.store.version import check_version
from fleet_workers.tools.runtime import ToolRuntime

_PRESENCES = 2**31  # an advisory lock has two halves of 31 bits
_RENEWALS_MISSED = 2.5  # after so many intervals without a sign a worker that is gone is dead
_REDIS_TIMEOUT_SECONDS = 2.0  # session memory is a help; a task does not wait long for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What every process needs: the store, the agents, sessions and the way to the broker."""

    settings: Settings
    engine: Engine
    catalogue: AgentCatalogue
    postman: Postman
    memory: SessionMemory


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
            with _open_memory(settings) as memory:
                yield Core(
                    settings=settings,
                    engine=engine,
                    catalogue=catalogue,
                    postman=postman,
                    memory=memory,
                )
        finally:
            postman.close()
    finally:
        engine.dispose()


@contextmanager
def open_worker(
    core: Core,
    *,
    isolate: Callable[[Claim, Event], Apart] | None = None,
    serves: Sequence[str] = (),
    slots: int = 1,
) -> Iterator[WorkerParts]:
    """Open what a worker works with, and close it in the end; `isolate` as in `Executor`.

    `serves` are the agents of its pool, which other processes see with its slots.
    """
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
        open_router(settings, core.catalogue) as router,
        _open_ports(
            settings, core.memory, ledger=core.engine, catalogue=core.catalogue, router=router
        ) as ports,
        _open_leases(
            settings,
            holder,
            shown_as=pool_name(serves, slots, worker=worker) if serves else f"leases of {worker}",
        ) as leases,
    ):
        if settings.router and AUTO_AGENT in serves:
            router.prepare()
        executor = Executor(
            holder=holder,
            engine=core.engine,
            catalogue=core.catalogue,
            ports=ports,
            leases=leases,
            settlement=Settlement(
                catalogue=core.catalogue,
                send=core.postman.send,
                remember=core.memory.remember,
                max_attempts=settings.max_attempts,
                retry_cap=settings.retry_cap,
            ),
            is_draining=draining.is_set,
            max_deliveries=settings.max_deliveries,
            isolate=None if isolate is None else lambda claim: isolate(claim, draining),
            serves=serves,
            shares=Shares(slots=slots, headroom=round(slots * settings.headroom)),
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
def open_limits(settings: Settings) -> Iterator[RateLimits]:
    """Open rate limits that all processes share; while Redis is away each keeps to its share."""
    link = open_link(settings.redis_url)
    try:
        yield RateLimits(link)
    finally:
        link.close()


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
    settings: Settings,
    memory: SessionMemory,
    *,
    ledger: Engine | None = None,
    catalogue: AgentCatalogue | None = None,
    router: Router | None = None,
) -> Iterator[Ports]:
    """Without a ledger no call is admitted or counted, and without a catalogue no reply is stored.

    So it is for runs that change nothing. Without a router a model chooses the agents for `auto`.
    """
    prices, models = PriceFile(settings.prices), candidates_of(settings)
    with (
        closing(open_link(settings.redis_url)) as link,
        _open_guards(settings, link) as guards,
        closing(_gateway(settings, models, guards.breakers, prices, link)) as gateway,
        open_model(
            settings,
            models,
            gateway,
            prices,
            ledger=ledger,
            catalogue=catalogue,
            intent_of=unknown_intent if router is None else router.intent_of,
        ) as model,
        counted_use(ledger) as note_use,
    ):
        tools = ToolRuntime(breakers=guards.breakers, environment=os.environ)
        try:
            yield Ports(
                model=model,
                tools=tools,
                recall=memory.recall,
                environment=os.environ,
                first_models=first_models(models),
                route=router.route if router is not None and settings.router else None,
                model_timeout_seconds=settings.model_timeout.total_seconds(),
                admission=Everything()
                if ledger is None
                else Gatekeeper(
                    guards=guards,
                    engine=ledger,
                    prices=prices,
                    models={tier: [str(each) for each in models[tier]] for tier in models},
                    max_output_tokens=settings.model_max_output_tokens,
                    note_use=note_use,
                ),
            )
        finally:
            tools.close()


@contextmanager
def _open_guards(settings: Settings, link: RedisLink) -> Iterator[Guards]:
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


@contextmanager
def _open_leases(settings: Settings, holder: Holder, *, shown_as: str) -> Iterator[LeaseKeeper]:
    engine = open_engine(settings.sqlalchemy_url, connections=1, application=shown_as, ping=False)
    leases = LeaseKeeper(engine, holder, every=settings.lease_renewal)
    leases.start()
    try:
        yield leases
    finally:
        leases.stop()
        engine.dispose()


def _gateway(
    settings: Settings,
    models: Candidates,
    breakers: Breakers,
    prices: PriceList,
    link: RedisLink,
) -> Gateway:
    return Gateway(
        addresses=addresses_of(settings),
        candidates=models,
        breakers=breakers,
        prices=prices,
        asking=asking_of(settings, link),
    )
