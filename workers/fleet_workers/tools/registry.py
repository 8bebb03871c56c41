"""Declares tools: a typed Python function becomes a schema, a validator and a set of promises."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from fleet_contracts.errors import ConfigurationError
from fleet_workers.resilience.limits import parse_rate
from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.declaration import (
    DEFAULT_TIMEOUT,
    Content,
    Effect,
    RepeatSafety,
    Stakes,
    Tool,
)


def tool(
    *,
    effect: Effect,
    repeat: RepeatSafety | None = None,
    stakes: Stakes = "low",
    timeout: timedelta = DEFAULT_TIMEOUT,
    reconciler: Callable[..., Any] | None = None,
    name: str | None = None,
    trusted: bool = False,
    prose: Iterable[str] = (),
    sensitive: Iterable[str] = (),
    open_world: bool = False,
    scopes: Iterable[str] = (),
    rate: str | None = None,
    cost_usd: Decimal | int = 0,
    money: str | None = None,
    customer_argument: str | None = None,
    owner: Callable[..., str | None] | None = None,
    asked_by: Iterable[str] = (),
) -> Callable[[Callable[..., Any]], Tool]:
    """Declare a function as a tool; what each promise means stands at `Tool`.

    The docstring is what the model reads; say there when to use the tool and when not to. Use
    `Annotated[str, Field(description=…, pattern=…)]` to describe an argument, and
    `Annotated[str, CONTENT]` for text that is only read by people. A read may always be repeated;
    a write must say how.

    Raises:
        ConfigurationError: At import, where the declaration is incomplete or contradicts itself.
    """

    def declare(function: Callable[..., Any]) -> Tool:
        hints = get_type_hints(function, include_extras=True)
        called = name or function.__name__
        declared = Tool(
            name=called,
            description=inspect.getdoc(function) or "",
            function=function,
            effect=effect,
            repeat=repeat or ("idempotent" if effect == "read" else "none"),
            stakes=stakes,
            timeout=timeout,
            arguments=_arguments_model(called, function, hints),
            result=TypeAdapter(hints.get("return", Any)),
            reconciler=reconciler,
            trusted=trusted,
            prose=tuple(prose),
            sensitive=tuple(sensitive),
            open_world=open_world,
            scopes=tuple(scopes),
            rate=rate,
            cost_usd=Decimal(cost_usd),
            money=money,
            customer_argument=customer_argument,
            owner=owner,
            asked_by=tuple(asked_by),
            content=frozenset(each for each, hint in hints.items() if _is_content(hint)),
        )
        if effect == "write" and repeat is None:
            raise ConfigurationError(
                f"Tool {called} writes: say repeat='idempotent', 'reconcile' or 'none'."
            )
        check_declaration(declared)
        return declared

    return declare


def check_declaration(declared: Tool) -> None:
    """Make sure that a tool's promises are whole and agree with one another.

    Raises:
        ConfigurationError: They do not; the text names the remedy.
    """
    name, fields = declared.name, declared.arguments.model_fields
    if not declared.description:
        raise ConfigurationError(f"Tool {name} has no docstring: the model needs one to choose it.")
    if (declared.repeat == "reconcile") != (declared.reconciler is not None):
        raise ConfigurationError(f"Tool {name}: repeat='reconcile' and a reconciler go together.")
    if declared.rate is not None:
        parse_rate(declared.rate)
    for role, argument in (
        ("money", declared.money),
        ("customer_argument", declared.customer_argument),
    ):
        if argument is not None and argument not in fields:
            raise ConfigurationError(
                f"Tool {name}: {role}={argument!r} is none of its arguments ({', '.join(fields)})."
            )
    if declared.prose and not declared.trusted:
        raise ConfigurationError(
            f"Tool {name}: prose names parts of a trusted result; say trusted=True, or leave "
            "prose out, for nothing of an untrusted result is trusted."
        )
    if declared.money is not None and declared.effect == "read":
        raise ConfigurationError(f"Tool {name} moves money: say effect='write'.")


def _is_content(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        return any(isinstance(mark, Content) for mark in marks) or _is_content(inner)
    return any(_is_content(each) for each in get_args(hint))


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
