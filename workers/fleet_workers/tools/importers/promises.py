"""Lays what agent.toml says of a tool over what the tool says itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from fleet_contracts.errors import ConfigurationError, PermanentError
from fleet_contracts.faults import explain_faults
from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.declaration import Tool
from fleet_workers.tools.importers.schema_model import SchemaArguments, arguments_model
from fleet_workers.tools.importers.settings import Bound, PromiseSection
from fleet_workers.tools.registry import check_declaration

_AS_THEY_ARE = (
    "description",
    "effect",
    "repeat",
    "stakes",
    "trusted",
    "open_world",
    "prose",
    "sensitive",
    "scopes",
    "rate",
    "cost_usd",
    "money",
    "customer_argument",
    "asked_by",
)


def apply_promises(tool: Tool, section: PromiseSection) -> Tool:
    """The tool with what `[promises.NAME]` says.

    Raises:
        ConfigurationError: It contradicts the tool, or names an argument that there is not.
    """
    if section.idempotency_header is not None and not tool.source.startswith("openapi:"):
        raise ConfigurationError(
            f"[promises.{tool.name}] idempotency_header is for tools of an OpenAPI document."
        )
    changed: dict[str, Any] = {
        name: getattr(section, name) for name in _AS_THEY_ARE if getattr(section, name) is not None
    }
    if section.timeout_seconds is not None:
        changed["timeout"] = timedelta(seconds=section.timeout_seconds)
    if section.content is not None:
        changed["content"] = frozenset(section.content)
    if section.free is not None:
        changed["free"] = {name: frozenset(values) for name, values in section.free.items()}
    told = bind_arguments(replace(tool, **changed), section.bind)
    _require_arguments(told, "content", told.content)
    _require_arguments(told, "free", told.free)
    check_declaration(told)
    return told


def bind_arguments(tool: Tool, bound: Mapping[str, Bound]) -> Tool:
    """The tool with arguments that the task fills, which the model neither sees nor can give.

    Raises:
        ConfigurationError: The tool has no such argument.
    """
    if not bound:
        return tool
    _require_arguments(tool, "bind", bound)
    shown, hidden = _split(tool, frozenset(bound))

    def filled(context: ToolContext) -> dict[str, Any]:
        return _fill(tool.name, hidden, bound, context)

    def with_bound(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(context: ToolContext, /, **arguments: Any) -> Any:
            return function(context, **arguments, **filled(context))

        return call

    return replace(
        tool,
        arguments=shown,
        function=with_bound(tool.function),
        reconciler=None if tool.reconciler is None else with_bound(tool.reconciler),
        owner=None if tool.owner is None else with_bound(tool.owner),
        content=tool.content - frozenset(bound),
        free={name: values for name, values in tool.free.items() if name not in bound},
    )


def _require_arguments(tool: Tool, what: str, names: Any) -> None:
    unknown = [name for name in names if name not in tool.arguments.model_fields]
    if unknown:
        raise ConfigurationError(
            f"[promises.{tool.name}] {what} names {', '.join(sorted(unknown))}; its arguments are "
            f"{', '.join(tool.arguments.model_fields) or 'none'}."
        )


def _split(tool: Tool, names: frozenset[str]) -> tuple[type[BaseModel], type[BaseModel]]:
    """The arguments' type without, and with only, those of the given names."""
    model = tool.arguments
    if issubclass(model, SchemaArguments):
        schema = model.described_by
        return (
            arguments_model(tool.name, _part(schema, lambda name: name not in names)),
            arguments_model(f"{tool.name}_bound", _part(schema, lambda name: name in names)),
        )
    fields = {name: (each.annotation, each) for name, each in model.model_fields.items()}
    return (
        _part_model(tool.name, {k: v for k, v in fields.items() if k not in names}),
        _part_model(f"{tool.name}_bound", {k: v for k, v in fields.items() if k in names}),
    )


def _part(schema: Mapping[str, Any], keeps: Callable[[str], bool]) -> dict[str, Any]:
    return {
        **schema,
        "properties": {k: v for k, v in schema["properties"].items() if keeps(k)},
        "required": [each for each in schema.get("required", ()) if keeps(each)],
    }


def _part_model(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    return create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)


def _fill(
    tool: str, hidden: type[BaseModel], bound: Mapping[str, Bound], context: ToolContext
) -> dict[str, Any]:
    """Values from the task, as the function wants them.

    Raises:
        PermanentError: The task has no customer, or a value does not fit the argument.
    """
    values: dict[str, Any] = {}
    for name, source in bound.items():
        value = str(context.task_id) if source == "task_id" else getattr(context, source)
        if value is None:
            raise PermanentError(
                f"{tool} needs a customer: the request does not say whose account it is about."
            )
        values[name] = _as_described(hidden, name, value)
    try:
        parsed = hidden.model_validate(values)
    except ValidationError as error:
        raise PermanentError(
            f"{tool} cannot be used for this request: {explain_faults(error)}."
        ) from error
    return {name: getattr(parsed, name) for name in values}


def _as_described(hidden: type[BaseModel], name: str, value: str) -> Any:
    """A number where a JSON schema wants one: a task names its customer in text."""
    if issubclass(hidden, SchemaArguments):
        described = hidden.described_by["properties"][name]
        if isinstance(described, Mapping) and described.get("type") == "integer":
            return int(value) if value.isascii() and value.isdecimal() else value
    return value
