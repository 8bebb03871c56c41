"""Opens the model, the tools and the session memory that a dry run reads with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from fleet_contracts.errors import ConfigurationError
from fleet_workers.controller.loop import Ports
from fleet_workers.memory.session import SessionMemory
from fleet_workers.models.gateway import Gateway
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.settings import Settings
from fleet_workers.tools.runtime import ToolRuntime

_REDIS_TIMEOUT_SECONDS = 2.0  # session memory is a help; a run does not wait long for it


@contextmanager
def open_ports(settings: Settings) -> Iterator[Ports]:
    """What the control loop touches outside, closed in the end.

    Raises:
        ConfigurationError: No model is set; the text names the setting.
    """
    breakers = Breakers(
        failures=settings.breaker_failures, open_seconds=settings.breaker_open.total_seconds()
    )
    gateway = _gateway(settings, breakers)
    tools = ToolRuntime(breakers=breakers, environment=os.environ)
    client = redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=_REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
    )
    try:
        yield Ports(
            model=gateway,
            tools=tools,
            recall=SessionMemory(client).recall,
            model_timeout_seconds=settings.model_timeout.total_seconds(),
        )
    finally:
        tools.close()
        gateway.close()
        client.close()


def _gateway(settings: Settings, breakers: Breakers) -> Gateway:
    if settings.model_small is None or settings.openai_api_key is None:
        missing = "FLEET_MODEL_SMALL" if settings.model_small is None else "OPENAI_API_KEY"
        raise ConfigurationError(
            f"{missing} is not set here: a dry run asks the model, so this process needs the "
            "same model settings as the workers."
        )
    small = settings.model_small
    medium = settings.model_medium or small
    return Gateway(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        models={"small": small, "medium": medium, "large": settings.model_large or medium},
        breakers=breakers,
    )
