"""Turns what an MCP server says of its tools into what the lock keeps."""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema.exceptions import SchemaError
from mcp_types import Tool

from fleet_contracts.errors import ConfigurationError
from fleet_workers.tools.importers.definitions import (
    argument_name,
    clean_schema,
    look_up,
    references,
    require_small,
    visible,
)
from fleet_workers.tools.importers.lock import Hints, LockedTool, fingerprint
from fleet_workers.tools.importers.schema_model import arguments_model, result_type

_SAID = frozenset({"name", "title", "description", "inputSchema", "outputSchema", "annotations"})


def fingerprint_of(tool: Tool) -> str:
    """Hash all that a server says of a tool which a model reads or the fleet goes by."""
    said = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return fingerprint({key: value for key, value in said.items() if key in _SAID})


def read_tools(tools: Sequence[Tool], names: Mapping[str, str]) -> dict[str, LockedTool]:
    """Take those tools that `names` asks for, each our name to the server's.

    Raises:
        ConfigurationError: The server lacks one, or describes it in a way that cannot be used.
    """
    found = {each.name: each for each in tools}
    read = {}
    for name, remote in names.items():
        if remote not in found:
            raise ConfigurationError(
                f"it has no tool {remote!r}; it has {', '.join(sorted(found)[:50]) or 'none'}"
            )
        require_small(remote, found[remote].model_dump(mode="json"))
        try:
            read[name] = _locked(found[remote])
        except (ConfigurationError, SchemaError, AttributeError, TypeError) as error:
            reason = error.message if isinstance(error, SchemaError) else error
            raise ConfigurationError(f"tool {remote}: {reason}") from error
    return read


def _locked(tool: Tool) -> LockedTool:
    arguments, wire = _arguments(tool.input_schema)
    result = tool.output_schema
    _require_whole(result)
    hints = tool.annotations
    read = LockedTool(
        remote=tool.name,
        description=visible(tool.description or tool.title or tool.name),
        arguments=arguments,
        result=None if result is None else clean_schema(result),
        hints=Hints(
            read_only=hints.read_only_hint if hints else None,
            destructive=hints.destructive_hint if hints else None,
        ),
        wire=wire,
        fingerprint=fingerprint_of(tool),
    )
    arguments_model(tool.name, read.arguments)
    result_type(read.result)
    return read


def _arguments(schema: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The schema with names that models can use, and those names' own ones."""
    _require_whole(schema)
    if schema.get("type", "object") != "object":
        raise ConfigurationError("its arguments are no object")
    taken: set[str] = set()
    names = {argument_name(wire, taken): wire for wire in schema.get("properties", {})}
    wire = {name: there for name, there in names.items() if name != there}
    cleaned = dict(clean_schema(schema))
    if wire:
        strange = cleaned.keys() - {
            "type",
            "properties",
            "required",
            "additionalProperties",
            "title",
            "description",
            "$schema",
            "$defs",
            "definitions",
        }
        if strange or any(each.startswith("#/properties") for each in references(schema)):
            raise ConfigurationError(
                f"arguments {', '.join(wire.values())} would need other names, which its schema "
                "does not allow: write a tool in tools.py"
            )
        ours = {there: name for name, there in names.items()}
        cleaned["properties"] = {ours[k]: v for k, v in cleaned["properties"].items()}
        cleaned["required"] = [ours.get(each, each) for each in cleaned.get("required", [])]
    return cleaned, wire


def _require_whole(schema: Any) -> None:
    for reference in references(schema):
        look_up(schema, reference)
