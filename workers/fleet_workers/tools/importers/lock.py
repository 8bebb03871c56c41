"""imports.lock.json: the imported tools as an operator saw them, so that no server is asked."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import explain_faults

LOCK_NAME = "imports.lock.json"


class _Locked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Locked):
    """Where an argument goes in an HTTP request; `body` alone is the whole of it.

    `style` says how a list is written: as one value joined by commas, or as one value each; `json`
    is a value written as JSON.
    """

    where: Literal["path", "query", "header", "field", "body"]
    name: str
    style: Literal["joined", "repeated", "json"] = "joined"


class Operation(_Locked):
    """How a tool of an OpenAPI document is called."""

    method: str
    path: str
    body_required: bool = False
    places: dict[str, Place] = Field(default_factory=dict)


class Hints(_Locked):
    """What an MCP server says of its tool. It may lie."""

    read_only: bool | None = None
    destructive: bool | None = None


class LockedTool(_Locked):
    """One imported tool. `fingerprint` is over all that its source says of it.

    `arguments` and `result` are JSON schemas without references to anything outside. `wire` gives
    an MCP argument's name there, where it is another. `operation` is there for OpenAPI alone.
    """

    remote: str
    description: str
    arguments: dict[str, Any]
    result: dict[str, Any] | bool | None = None
    fingerprint: str
    operation: Operation | None = None
    hints: Hints = Hints()
    wire: dict[str, str] = Field(default_factory=dict)


class LockedImport(_Locked):
    """The tools of one `[imports.NAME]`. `document` is the hash of a document in the folder."""

    document: str | None = None
    tools: dict[str, LockedTool]


class Lock(_Locked):
    """The whole file."""

    version: Literal[1] = 1
    imports: dict[str, LockedImport] = Field(default_factory=dict)


def fingerprint(definition: Mapping[str, Any]) -> str:
    """Hash what a source says of a tool; the order of keys does not matter."""
    text = json.dumps(definition, sort_keys=True, ensure_ascii=False)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_lock(folder: Path) -> Lock:
    """Read an agent's lock; an empty one where there is no file.

    Raises:
        ConfigurationError: The file is not what `fleetctl agents import` writes.
    """
    path = folder / LOCK_NAME
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Lock()
    except ValidationError as error:
        raise ConfigurationError(
            f"{path}: {explain_faults(error, whole='file')}. "
            f"Write it anew with `fleetctl agents import {folder.name}`."
        ) from error


def write_lock(folder: Path, lock: Lock) -> Path:
    """Write an agent's lock, in an order that makes changes easy to review."""
    path = folder / LOCK_NAME
    content = lock.model_dump(mode="json", exclude_defaults=True) | {"version": lock.version}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    temporary = path.with_suffix(".new")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)
    return path
