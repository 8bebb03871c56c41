"""Sets the intake to work where the settings want it and the broker can."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from sqlalchemy import Engine

from fleet_contracts.topology import is_rabbitmq
from fleet_workers.agents import AgentCatalogue
from fleet_workers.intake.courier import IntakeCourier
from fleet_workers.intake.publishers import Publishers
from fleet_workers.settings import Settings
from fleet_workers.store.outbox import Letter


def intake_at_work(
    settings: Settings,
    engine: Engine,
    catalogue: AgentCatalogue,
    *,
    send: Callable[[Sequence[Letter]], None],
) -> AbstractContextManager[None]:
    """Take in plain JSON until the block ends: on RabbitMQ, unless `FLEET_INTAKE` is off.

    Raises:
        ConfigurationError: `FLEET_INTAKE_USERS` cannot be read.
    """
    publishers = Publishers.of(settings.intake_users)
    if not settings.intake or not is_rabbitmq(settings.broker_url):
        return nullcontext()
    courier = IntakeCourier(engine, settings.broker_url, catalogue, publishers, send=send)
    return courier.at_work()
