"""Declares tools: a typed Python function becomes a schema, a validator and a set of promises."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import explain_faults
from fleet_workers.tools.context import ToolContext

Effect = Literal["read", "write"]
RepeatSafety = Literal["idempotent", "reconcile", "none"]
Stakes = Literal["low", "high"]

DEFAULT_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as the fleet knows it.

    `function` takes a `ToolContext` and the validated arguments. A `write` says how a repeat is
    made safe: `idempotent` (the system honours our key), `reconcile` (`reconciler` tells whether
    it happened), or `none` (a doubtful repeat goes to a person). `stakes="high"` needs approval.
    """

    name: str
    description: str
    function: Callable[..., Any]
    effect: Effect
    repeat: RepeatSafety
    stakes: Stakes
    timeout: timedelta
    arguments: type[BaseModel]
    result: TypeAdapter[Any]
    reconciler: Callable[..., Any] | None = None

    def schema(self) -> dict[str, Any]:
        """The tool in the form of OpenAI's chat completions (`tools[]`)."""
        parameters = self.arguments.model_json_schema()
        parameters.pop("title", None)
        parameters.pop("description", None)
        for field in parameters.get("properties", {}).values():
            field.pop("title", None)
        parameters.setdefault("properties", {})
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": parameters,
            },
        }

    def parse_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Validate a model's arguments and give them as the function wants them.

        Raises:
            ValueError: One sentence a fault, written so that a model can mend its call.
        """
        try:
            parsed = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            faults = explain_faults(error, whole="arguments")
            raise ValueError(f"Arguments of {self.name} not accepted: {faults}.") from error
        return {name: getattr(parsed, name) for name in type(parsed).model_fields}


def tool(
    *,
    effect: Effect,
    repeat: RepeatSafety | None = None,
    stakes: Stakes = "low",
    timeout: timedelta = DEFAULT_TIMEOUT,
    reconciler: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Callable[[Callable[..., Any]], Tool]:
    """Declare a function as a tool.

    The docstring is what the model reads; say there when to use the tool and when not to. Use
    `Annotated[str, Field(description=…, pattern=…)]` to describe an argument. A read may always
    be repeated; a write must say how.

    Raises:
        ConfigurationError: At import, where the declaration is incomplete.
    """

    def declare(function: Callable[..., Any]) -> Tool:
        return _declare(
            function,
            name=name or function.__name__,
            effect=effect,
            repeat=repeat,
            stakes=stakes,
            timeout=timeout,
            reconciler=reconciler,
        )

    return declare


def _declare(
    function: Callable[..., Any],
    *,
    name: str,
    effect: Effect,
    repeat: RepeatSafety | None,
    stakes: Stakes,
    timeout: timedelta,
    reconciler: Callable[..., Any] | None,
) -> Tool:
    description = inspect.getdoc(function)
    if not description:
        raise ConfigurationError(f"Tool {name} has no docstring: the model needs one to choose it.")
    if effect == "write" and repeat is None:
        raise ConfigurationError(
            f"Tool {name} writes: say repeat='idempotent', 'reconcile' or 'none'."
        )
    if (repeat == "reconcile") != (reconciler is not None):
        raise ConfigurationError(f"Tool {name}: repeat='reconcile' and a reconciler go together.")
    hints = get_type_hints(function, include_extras=True)
    return Tool(
        name=name,
        description=description,
        function=function,
        effect=effect,
        repeat=repeat or "idempotent",
        stakes=stakes,
        timeout=timeout,
        arguments=_arguments_model(name, function, hints),
        result=TypeAdapter(hints.get("return", Any)),
        reconciler=reconciler,
    )


def _arguments_model(
    name: str, function: Callable[..., Any], hints: Mapping[str, Any]
) -> type[BaseModel]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or hints.get(parameters[0].name) is not ToolContext:
        raise ConfigurationError(f"Tool {name} must take a ToolContext as its first parameter.")
    fields: dict[str, Any] = {}
    for parameter in parameters[1:]:
        if parameter.name not in hints:
            raise ConfigurationError(f"Tool {name}: parameter {parameter.name} has no type.")
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return create_model(f"{name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)


class ToolRegistry:
    """The tools of one agent, by name. Immutable after construction."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools: dict[str, Tool] = {}
        for each in tools:
            if each.name in self._tools:
                raise ConfigurationError(f"Two tools are called {each.name}.")
            self._tools[each.name] = each
        self._schemas = tuple(each.schema() for each in self._tools.values())

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def get(self, name: str) -> Tool | None:
        """The tool of that name, or None."""
        return self._tools.get(name)

    def schemas(self) -> list[dict[str, Any]]:
        """All tools in the form of OpenAI's chat completions, in a fixed order."""
        return list(self._schemas)
