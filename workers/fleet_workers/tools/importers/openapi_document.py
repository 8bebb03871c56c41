"""Gets and parses OpenAPI documents."""

import json
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import yaml

from fleet_contracts.errors import ConfigurationError

_MOST_BYTES: Final = 20_000_000


def fetch_document(url: str) -> bytes:
    """Get a document over https.

    Raises:
        ConfigurationError: It cannot be had; the text says why.
    """
    if urlsplit(url).scheme != "https":
        raise ConfigurationError(f"{url} is not https: a document that tools come from must be")
    try:
        with httpx2.stream("GET", url, timeout=30) as response:
            response.raise_for_status()
            content = b""
            for part in response.iter_bytes():
                content += part
                if len(content) > _MOST_BYTES:
                    raise ConfigurationError(f"{url} holds more than {_MOST_BYTES:,} bytes")
    except httpx2.HTTPError as error:
        raise ConfigurationError(f"{url} cannot be had: {error}") from error
    return content


def parse_document(content: bytes) -> dict[str, Any]:
    """Read an OpenAPI document in JSON or YAML.

    Raises:
        ConfigurationError: It is no OpenAPI document of version 3.0 or 3.1.
    """
    try:
        try:
            document = json.loads(content)
        except ValueError:
            # Through JSON, for YAML makes dates of texts and numbers of keys.
            document = json.loads(json.dumps(yaml.safe_load(content), default=str))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"it is neither JSON nor YAML: {error}") from error
    version = str(document.get("openapi", "")) if isinstance(document, dict) else ""
    if not version.startswith(("3.0", "3.1")):
        raise ConfigurationError(
            f"it is no OpenAPI document of version 3.0 or 3.1 (it says {version or 'nothing'!r})"
        )
    return dict(document)
