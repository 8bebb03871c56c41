"""Makes tools of what the lock holds and of what the agent's author says: those over HTTP."""

from collections.abc import Callable
from typing import Any

from fleet_contracts.errors import ConfigurationError
from fleet_workers.tools.declaration import DEFAULT_TIMEOUT, Effect, RepeatSafety, Tool
from fleet_workers.tools.importers.lock import LockedTool
from fleet_workers.tools.importers.openapi_call import OperationCall, filled_headers
from fleet_workers.tools.importers.promises import apply_promises
from fleet_workers.tools.importers.schema_model import arguments_model, result_type
from fleet_workers.tools.importers.settings import ImportSection, PromiseSection

_READS = frozenset({"GET", "HEAD"})
_REPEATABLE = frozenset({"PUT", "DELETE"})


def openapi_tool(
    name: str, source: str, locked: LockedTool, section: ImportSection, said: PromiseSection
) -> Tool:
    """A tool that calls an operation. GET and HEAD read unless the author says otherwise.

    Raises:
        ConfigurationError: The author promises what cannot be kept.
    """
    operation = locked.operation
    if operation is None:
        raise ConfigurationError(f"{name} was not imported from an OpenAPI document.")
    effect: Effect = said.effect or ("read" if operation.method in _READS else "write")
    key_header = said.idempotency_header
    require_repeat(name, effect, said.repeat)
    if effect == "write" and said.repeat == "idempotent":
        _require_key(name, operation.method, key_header)
    call = OperationCall(
        tool=name,
        section=section,
        operation=operation,
        is_write=effect == "write",
        key_header=key_header,
    )
    filled = filled_headers(section, key_header)
    hidden = frozenset(
        argument
        for argument, place in operation.places.items()
        if place.where == "header" and place.name.lower() in filled
    )
    tool = locked_tool(
        name,
        f"openapi:{source}",
        locked,
        effect=effect,
        hidden=hidden,
        function=call.function(),
    )
    return apply_promises(tool, said)


def locked_tool(
    name: str,
    source: str,
    locked: LockedTool,
    *,
    effect: Effect,
    hidden: frozenset[str],
    function: Callable[..., Any],
) -> Tool:
    """The tool before its author said anything: an untrusted one, that nothing makes safe."""
    properties = locked.arguments.get("properties", {})
    required = locked.arguments.get("required", ())
    shown = {
        **locked.arguments,
        "properties": {key: each for key, each in properties.items() if key not in hidden},
        "required": [each for each in required if each not in hidden],
    }
    return Tool(
        name=name,
        description=locked.description,
        function=function,
        effect=effect,
        repeat="idempotent" if effect == "read" else "none",
        stakes="low",
        timeout=DEFAULT_TIMEOUT,
        arguments=arguments_model(name, shown),
        result=result_type(locked.result),
        source=source,
    )


def _require_key(name: str, method: str, key_header: str | None) -> None:
    if key_header is None and method not in _REPEATABLE:
        raise ConfigurationError(
            f"[promises.{name}] says repeat = 'idempotent', but {method} carries no key: name the "
            "header that takes it as idempotency_header, or say repeat = 'none'."
        )


def require_repeat(name: str, effect: Effect, repeat: RepeatSafety | None) -> None:
    """Refuse a promise about repeats that an imported tool cannot keep.

    Raises:
        ConfigurationError: The text names the remedy.
    """
    if repeat == "reconcile":
        raise ConfigurationError(
            f"[promises.{name}] says repeat = 'reconcile', which needs a function that looks "
            "whether it happened: write the tool in tools.py."
        )
    if effect == "read" and repeat == "none":
        raise ConfigurationError(f"[promises.{name}] reads: leave repeat out.")
