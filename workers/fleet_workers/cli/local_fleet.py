"""Lets operators' commands find the fleet that `make run` has started in this folder."""

import json
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Final

from fleet_contracts.errors import ConfigurationError

LOCAL_FILE: Final = Path(".fleet/operator.json")
"""Its environment, written by `fleetctl up`; its folder is readable by its owner only."""
_ADDRESSES: Final = ("FLEET_STORE_URL", "FLEET_BROKER_URL", "FLEET_REDIS_URL")
_PROCESSES: Final = frozenset({"up", "worker", "web", "janitor"})


def adopt_local_fleet(
    words: Sequence[str], environment: MutableMapping[str, str], *, file: Path = LOCAL_FILE
) -> None:
    """Take the local fleet's environment where none of its addresses is set.

    Processes of a fleet never do: they run where they are told to.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    if not words or words[0] in _PROCESSES or any(environment.get(each) for each in _ADDRESSES):
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{file} cannot be read ({error}): start the fleet again with `make run`, or set "
            f"{', '.join(_ADDRESSES)}."
        ) from error
    if isinstance(found, dict):
        for name, value in found.items():
            environment.setdefault(str(name), str(value))
