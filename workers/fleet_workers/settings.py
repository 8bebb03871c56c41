"""Typed settings from the environment. Read once, by the composition root; nothing else looks."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import explain_faults


def _as_seconds(value: object) -> object:
    """A plain number is seconds; ISO 8601 (`PT90S`) is understood as well."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Duration = Annotated[timedelta, BeforeValidator(_as_seconds)]


class Settings(BaseSettings):
    """All that an operator can set. Every name is an environment variable `FLEET_…`.

    The model endpoint uses the names that every OpenAI-compatible program knows:
    `OPENAI_BASE_URL` and `OPENAI_API_KEY`.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLEET_", frozen=True, extra="ignore", populate_by_name=True
    )

    broker_url: str = "amqp://guest:guest@127.0.0.1:5672//"
    store_url: str = "postgresql://postgres@127.0.0.1:5432/fleet"
    redis_url: str = "redis://127.0.0.1:6379/0"

    agents_path: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders with agents of the user's own, separated by the system's path separator."""

    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    model_small: str | None = None
    model_medium: str | None = None
    model_large: str | None = None
    model_timeout: Duration = timedelta(seconds=60)
    """Wait for one model call. Longer answers than this are rarely read."""

    prices: Path | None = None
    """A file with what models cost; a model that it lacks has no known price."""
    model_max_output_tokens: Annotated[int, Field(ge=1)] = 4096
    """What is reserved for an answer where costs are limited; what it really cost is settled."""

    slots: Annotated[int, Field(ge=1, le=1000)] = 100
    """Tasks that one worker process works on at once; beyond 100 threads throughput falls."""
    store_connections: Annotated[int, Field(ge=1, le=100)] = 10
    """Connections to PostgreSQL a process: a slot holds one only while it writes."""
    lease: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(minutes=10))] = timedelta(
        seconds=15
    )
    """How long a worker that hangs keeps its tasks; one that died loses them within 3 s."""
    lease_renewal: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=1)
    stop_grace: Duration = timedelta(seconds=30)
    """Time that tasks in flight have to reach their next step when a worker is stopped."""
    max_deliveries: Annotated[int, Field(ge=1)] = 5
    """Claims after which a task that keeps losing its worker is put among the dead letters."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    """Runs that may end in a transient error before the task is dead."""
    retry_cap: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=1))] = timedelta(
        minutes=10
    )
    """The longest wait between two attempts, unless the other side asks for more."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """Failures in a row after which a tool or model is left alone."""
    breaker_open: Duration = timedelta(seconds=15)
    """How long it is left alone before one call tries it again."""
    janitor_interval: Duration = timedelta(seconds=0.25)

    log_level: str = "INFO"
    log_format: Literal["json", "text"] = "json"
    ready_file: Path | None = None
    """A file that a worker or janitor makes when it is ready, for whoever started it."""
    sentry_dsn: str | None = Field(default=None, validation_alias="SENTRY_DSN")

    @field_validator("agents_path", mode="before")
    @classmethod
    def _split_path(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @property
    def sqlalchemy_url(self) -> str:
        """The store's URL with the driver that the fleet uses."""
        _, _, rest = self.store_url.partition("://")
        return f"postgresql+psycopg://{rest}"


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigurationError: Names each variable that is wrong, and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError(
            f"Wrong settings: {explain_faults(error)}. They are FLEET_… variables."
        ) from error


def announce_ready(ready_file: Path | None) -> None:
    """Make the file that whoever started this process waits for."""
    if ready_file is not None:
        ready_file.parent.mkdir(parents=True, exist_ok=True)
        ready_file.touch()
