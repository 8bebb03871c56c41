"""Typed settings from the environment. Read once, by the composition root; nothing else looks."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import explain_faults
from fleet_contracts.states import TaskState


def _as_seconds(value: object) -> object:
    """A plain number is seconds; ISO 8601 (`PT90S`) is understood as well."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _as_names(value: object) -> object:
    """Names between commas; empty ones do not count."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _as_numbers(value: object) -> object:
    """`NAME=NUMBER` between commas; a number alone stands for all names, as `*`."""
    if not isinstance(value, str):
        return value
    pairs = (part.strip().rpartition("=") for part in value.split(",") if part.strip())
    return {name.strip() or "*": number.strip() for name, _, number in pairs}


Duration = Annotated[timedelta, BeforeValidator(_as_seconds)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_as_names)]
Numbers = Annotated[
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]],
    NoDecode,
    BeforeValidator(_as_numbers),
]


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
    model_small: Names = ()
    """Models in the order in which they are asked, separated by commas; the same below."""
    model_medium: Names = ()
    model_large: Names = ()
    fallback_base_url: str | None = None
    """A second endpoint, with a key and models of its own, for when the first one is away."""
    fallback_api_key: SecretStr | None = None
    fallback_model_small: Names = ()
    fallback_model_medium: Names = ()
    fallback_model_large: Names = ()
    model_api: Literal["auto", "chat", "responses"] = "auto"
    """Chat completions, the Responses API, or the latter where an endpoint lacks the former."""
    model_timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=60)
    """Wait for one model call, fallbacks included. Longer answers than this are rarely read."""
    model_stream: bool = False
    """Let answers come in pieces, so that one that stops half-way is noticed early."""
    model_stall: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    """The longest pause in a streamed answer; a model may think as long before it begins."""

    router: bool = True
    """Choose agents for `auto` by their examples, and ask a model where those do not suffice."""
    embedding: Literal["auto", "endpoint", "local", "lexical"] = "auto"
    """What turns texts into vectors; auto is an endpoint's model where one is named, else the
    local model where its packages are installed, else the words alone."""
    embedding_model: str | None = None
    """The endpoint's model for embeddings; it is the main endpoint unless another is named."""
    embedding_base_url: str | None = None
    embedding_api_key: SecretStr | None = None
    embedding_timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=10)
    """Wait for the vectors of one or more texts; what needs them does without them then."""

    events: Annotated[tuple[TaskState, ...], NoDecode, BeforeValidator(_as_names)] = tuple(
        each for each in TaskState if each is not TaskState.RUNNING
    )
    """Changes of tasks that are published on the exchange fleet.events; nothing where empty."""
    event_content: Literal["brief", "full"] = "brief"
    """Whether events hold the whole task, what customers and agents said included."""
    intake: bool = True
    """Let janitors take in plain JSON from the queue fleet.intake."""
    intake_users: Names = ()
    """Who may hand in tasks there for which tenant, as in `shop=acme,crm=*`, by the broker's names
    of its users; where empty, whoever can publish may name any tenant."""

    desk: Path | None = None
    """The review desk's file: sign-in, webhooks, e-mail, notices, sampling."""

    prices: Path | None = None
    """A file with what models cost, in place of the providers' list prices that ship with the
    fleet; a model that it lacks has no known price, unless the file has a cap for such."""
    model_max_output_tokens: Annotated[int, Field(ge=1)] = 4096
    """The longest answer that is asked for, and what is reserved where costs are limited."""

    cache_entries: Annotated[int, Field(ge=0)] = 50_000
    """Stored replies that a tenant may have; the janitor deletes the oldest beyond."""

    slots: Annotated[int, Field(ge=1, le=1000)] = 100
    """Tasks that one worker process works on at once; beyond 100 threads throughput falls."""
    scale: Names = ()
    """Bounds of pools in `fleetctl up`, such as `billing=1:4,onboarding=1:2`: between them it adds
    and ends worker processes by itself."""
    headroom: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """The share of a process's slots that a tenant with many tasks leaves free for others, where
    others were there within ten minutes; rounded to whole slots."""
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
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Where a worker or janitor serves its metrics; 0 for nowhere. The web process has its own."""
    metrics_host: str = "127.0.0.1"
    """The address to serve them on; 0.0.0.0 in a container."""
    metrics_targets: Path | None = None
    """A folder in which each process notes where its metrics are, for Prometheus' discovery by
    files. Without a port each worker and janitor takes a free one."""
    minutes_saved: Numbers = Field(default_factory=lambda: {"*": 5.0})
    """Minutes of a person's work that a task saves which an agent ends alone, such as
    `billing=8,*=5`; for the figures of hours saved."""
    sentry_dsn: str | None = Field(default=None, validation_alias="SENTRY_DSN")
    """Where unexpected errors are reported; nowhere without."""
    environment: str = "production"
    """What traces and error reports call this installation, such as `staging`."""
    release: str | None = None
    """What they call what runs here; the installed version of the fleet unless given."""

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
