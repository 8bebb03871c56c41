"""Reads the variables that an import names, and makes the header that proves who calls."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from fleet_contracts.errors import ConfigurationError
from fleet_workers.tools.importers.settings import ImportSection

SAFE_HEADER: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
"""A header's value that is sent as it is and ends where it should."""


def address(environment: Mapping[str, str], variable: str) -> str:
    """The URL that a variable holds.

    Raises:
        ConfigurationError: It is not set, or holds no URL of a web server.
    """
    url = _value(environment, variable)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigurationError(f"{variable} is no URL that begins with http:// or https://.")
    return url


def authorization(section: ImportSection, environment: Mapping[str, str]) -> dict[str, str]:
    """The header with the secret, or none where the section names no secret.

    Raises:
        ConfigurationError: The variable is not set, or cannot stand in a header.
    """
    variable = section.authorization_variable
    if variable is None:
        return {}
    text = f"{section.authorization_scheme} {_value(environment, variable)}".strip()
    if not SAFE_HEADER.fullmatch(text):
        raise ConfigurationError(f"{variable} cannot stand in a header.")
    return {section.authorization_header: text}


def _value(environment: Mapping[str, str], variable: str) -> str:
    try:
        return environment[variable]
    except KeyError:
        raise ConfigurationError(
            f"{variable} is not set: agent.toml names it for imported tools; set it for the "
            "workers."
        ) from None
