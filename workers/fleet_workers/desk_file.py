"""The form of the review desk's file (`FLEET_DESK`): who signs in, who is told what, and how."""

from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from fleet_contracts.envelope import AgentName
from fleet_contracts.errors import ConfigurationError
from fleet_contracts.events import TaskEventType
from fleet_contracts.faults import read_toml
from fleet_workers.retention_policy import RetentionSection

Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$", max_length=500)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100)]
Role = Literal["viewer", "reviewer", "operator", "admin"]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone: write one such as Europe/Berlin") from error
    return name


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SignInSection(_Part):
    """How long people stay signed in, and how often an address may try a password."""

    session_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 12
    idle_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 120
    tries_a_minute: Annotated[int, Field(ge=1, le=600)] = 10

    @property
    def session(self) -> timedelta:
        """How long a session lasts at most."""
        return timedelta(hours=self.session_hours)

    @property
    def idle(self) -> timedelta:
        """How long a session lasts without a request."""
        return timedelta(minutes=self.idle_minutes)


class OidcSection(_Part):
    """An OpenID Connect provider. `client_secret` names an environment variable.

    `roles` maps values of the claim `role_claim` to roles; who has none of them is not let in.
    `tenant` is the tenant of all who come this way; without it the claim `tenant_claim` names it.
    """

    title: Annotated[str, StringConstraints(min_length=1, max_length=60)] = "single sign-on"
    issuer: Address
    client_id: str
    client_secret: Variable
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    role_claim: str = "groups"
    roles: dict[str, Role]
    tenant: str | None = None
    tenant_claim: str | None = None

    @model_validator(mode="after")
    def _tells_the_tenant(self) -> "OidcSection":
        if (self.tenant is None) == (self.tenant_claim is None):
            raise ValueError("name either tenant or tenant_claim")
        return self

    @model_validator(mode="after")
    def _is_private(self) -> "OidcSection":
        found = urlsplit(self.issuer)
        if found.scheme != "https" and found.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError(
                "issuer must be reached by https, for whoever is between could sign in"
            )
        return self


class WebhookSection(_Part):
    """An outside system that gets signed JSON by HTTP. `secret` names an environment variable.

    `tenants` and `agents` choose of which reviews and tasks it is told; empty is all. `packets`
    sends the whole handover packet with a review, and the task with its answer with an event of a
    task; without it only what a list shows. `at_once` is how many requests each janitor may have
    under way. Notices come from the sections that name it, whatever its `events`.
    """

    name: Name
    url: Address
    secret: Variable
    events: tuple[Literal["review.opened", "review.decided"] | TaskEventType, ...] = (
        "review.opened",
    )
    tenants: tuple[str, ...] = ()
    agents: tuple[AgentName, ...] = ()
    packets: bool = True
    at_once: Annotated[int, Field(ge=1, le=20)] = 1


class MailSection(_Part):
    """The SMTP server for e-mail. `password` names an environment variable."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    sender: Email
    user: str | None = None
    password: Variable | None = None
    encryption: Literal["starttls", "tls", "none"] = "starttls"


class QuietHours(_Part):
    """Hours of the day in which nothing is sent but what is urgent."""

    start: time
    end: time
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"


class NoticeSection(_Part):
    """Who is told that reviews wait, are overdue, or that an agent is degraded or offline.

    `to` are e-mail addresses, `webhook` is the name of one of the file's webhooks. What comes
    within `digest_minutes` is told in one notice.
    """

    name: Name
    to: tuple[Email, ...] = ()
    webhook: Name | None = None
    about: tuple[Literal["waiting", "overdue", "degraded", "offline"], ...] = (
        "waiting",
        "overdue",
        "degraded",
        "offline",
    )
    tenants: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    digest_minutes: Annotated[float, Field(ge=0, le=24 * 60)] = 15
    quiet: QuietHours | None = None

    @model_validator(mode="after")
    def _tells_somebody(self) -> "NoticeSection":
        if not self.to and self.webhook is None:
            raise ValueError("name addresses in to, or a webhook")
        return self


class SamplingSection(_Part):
    """Which share of finished tasks is put before people after the fact, 0 to 1.

    `by_agent` overrides it for an agent. `unsure_times`, `novel_times` and `cached_times` raise the
    share of tasks with low confidence, of those unlike earlier ones, and of those with a stored
    plan.
    """

    share: Annotated[float, Field(ge=0, le=1)] = 0.05
    by_agent: dict[AgentName, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    unsure_times: Annotated[float, Field(ge=1, le=20)] = 2
    novel_times: Annotated[float, Field(ge=1, le=20)] = 2
    cached_times: Annotated[float, Field(ge=1, le=20)] = 2


class DeskFile(_Part):
    """All of the file. Everything may be left out.

    `public_url` is how people reach the console, for the links in messages.
    """

    public_url: Address | None = None
    sign_in: SignInSection = SignInSection()
    oidc: OidcSection | None = None
    webhooks: tuple[WebhookSection, ...] = ()
    mail: MailSection | None = None
    notices: tuple[NoticeSection, ...] = ()
    sampling: SamplingSection = SamplingSection()
    retention: RetentionSection = RetentionSection()

    @model_validator(mode="after")
    def _names_fit(self) -> "DeskFile":
        names = [each.name for each in self.webhooks]
        for all_names in (names, [each.name for each in self.notices]):
            twice = sorted({name for name in all_names if all_names.count(name) > 1})
            if twice:
                raise ValueError(f"{', '.join(twice)} is there twice")
        for notice in self.notices:
            if notice.webhook is not None and notice.webhook not in names:
                raise ValueError(f"notices.{notice.name} names no webhook of this file")
            if notice.to and self.mail is None:
                raise ValueError(f"notices.{notice.name} needs [mail]: say which server sends")
        return self


def load_desk_file(path: Path | None) -> DeskFile:
    """Read and check the file; without one, the defaults.

    Raises:
        ConfigurationError: Names the file, the field and the remedy.
    """
    if path is None:
        return DeskFile()
    try:
        return read_toml(path, DeskFile)
    except OSError as error:
        raise ConfigurationError(
            f"FLEET_DESK names {path}, which cannot be read: {error.strerror}."
        ) from error
