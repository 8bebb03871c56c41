"""Checks of what the fleet calls: business systems, mail, webhooks, Sentry, trace collectors."""

import socket
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from fleet_workers.desk_file import load_desk_file
from fleet_workers.doctor.finding import Check, Finding, failed, ok, warning
from fleet_workers.settings import Settings

_PATIENCE_SECONDS = 3.0
_PORTS = {"http": 80, "https": 443}


def outside_checks(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    """The checks: whether each address takes connections. Nothing is sent."""
    addresses = {
        "business system": environment.get("FLEET_BUSINESS_URL"),
        "Sentry": settings.sentry_dsn,
        "traces": environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
    }
    checks = [
        Check(group="outside", name=name, look=lambda url=url: [_reach(url)])  # type: ignore[misc] # a default binds it now
        for name, url in addresses.items()
        if url
    ]
    return [*checks, Check(group="outside", name="desk", look=lambda: _desk(settings, environment))]


def _desk(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    desk = load_desk_file(settings.desk)
    secrets = [(f"webhook {each.name}", each.secret) for each in desk.webhooks]
    if desk.mail is not None and desk.mail.password is not None:
        secrets.append(("mail", desk.mail.password))
    if desk.oidc is not None:
        secrets.append(("oidc", desk.oidc.client_secret))
    for what, variable in secrets:
        if not environment.get(variable):
            yield failed(
                f"{what} of the desk's file wants the variable {variable}, which is not set.",
                f"Set {variable} for web and janitor.",
            )
    addresses = [each.url for each in desk.webhooks]
    if desk.oidc is not None:
        addresses.append(desk.oidc.issuer)
    for url in addresses:
        yield _reach(url)
    if desk.mail is not None:
        yield _reach_host(desk.mail.host, desk.mail.port)
    if settings.desk is None:
        yield ok("FLEET_DESK is not set: nobody is told of reviews by mail or webhook.")
    else:
        yield ok(f"{settings.desk} is as it should be.")


def _reach(url: str) -> Finding:
    parts = urlsplit(url)
    if parts.hostname is None:
        return failed(f"{_without_secrets(url)} is no address.", "Write https://host/path.")
    return _reach_host(parts.hostname, parts.port or _PORTS.get(parts.scheme, 443))


def _reach_host(host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), timeout=_PATIENCE_SECONDS).close()
    except OSError as error:
        return warning(
            f"{host}:{port} takes no connection: {error.strerror or error}.",
            "Start it, correct its address, or open the way from here to there.",
        )
    return ok(f"{host}:{port} takes connections.")


def _without_secrets(url: str) -> str:
    return url.rpartition("@")[2]
