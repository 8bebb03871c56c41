"""Where the fleet is and who asks: the client's settings, from arguments or the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleet_contracts.errors import ConfigurationError

LOCAL_FILE = Path(".fleet/client.json")
"""Written by `make run`: the addresses and the key of the fleet started from this folder."""

_NAMES = ("broker_url", "api_url", "api_key", "tenant")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Addresses, key and tenant of a client.

    `timeout_seconds` limits each single exchange with a server: connecting, one HTTP answer, one
    broker confirm.

    Raises:
        ConfigurationError: A setting is malformed, or both addresses are missing.
    """

    broker_url: str | None = None
    api_url: str | None = None
    api_key: str | None = None
    tenant: str | None = None
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not self.broker_url and not self.api_url:
            raise ConfigurationError(
                "No address of a fleet is known: set FLEET_API_URL (and FLEET_API_KEY) or "
                "FLEET_BROKER_URL, pass api_url or broker_url, or work in the folder where "
                f"`make run` wrote {LOCAL_FILE}."
            )
        if self.api_url and not _is_http(self.api_url):
            raise ConfigurationError(
                f"api_url {self.api_url!r} is not an address like http://127.0.0.1:8000."
            )
        if self.broker_url and "://" not in self.broker_url:
            raise ConfigurationError(
                "broker_url is not an address like amqp://user:password@host:5672/ "
                "or redis://host:6379/0."
            )
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ConfigurationError(
                "api_key holds a character that no key has (a line break?): copy it again."
            )
        if not self.timeout_seconds > 0:
            raise ConfigurationError(f"timeout is {self.timeout_seconds}: give seconds above 0.")


def read_settings(
    environment: Mapping[str, str] | None = None, *, file: Path = LOCAL_FILE
) -> ClientSettings:
    """Read the settings from FLEET_BROKER_URL, FLEET_API_URL, FLEET_API_KEY and FLEET_TENANT.

    Where neither address is set, `file` gives what the variables leave open. Where one is set, the
    file is not read: a key must not travel to an address that it was not made for.

    Raises:
        ConfigurationError: No address is found, or the file cannot be read.
    """
    found = os.environ if environment is None else environment
    values = {name: found.get(f"FLEET_{name.upper()}", "").strip() or None for name in _NAMES}
    if not values["broker_url"] and not values["api_url"]:
        written = _read_file(file)
        values = {name: value or written.get(name) for name, value in values.items()}
    return ClientSettings(**values)  # type: ignore[arg-type]  # the timeout is not among the names


def _read_file(file: Path) -> dict[str, str]:
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{file} cannot be read ({error}): start the fleet again with `make run`, "
            "or set FLEET_API_URL."
        ) from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file} is no JSON object: start the fleet again.")
    return {name: content[name] for name in _NAMES if isinstance(content.get(name), str)}


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
