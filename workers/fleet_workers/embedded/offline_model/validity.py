"""Checks a value against one argument's schema and brings it into the type wanted."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import re
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any, Final

from fleet_workers.embedded.offline_model.schemas import Parameter

_MAX_PATTERN: Final = 300
_MAX_MATCHED: Final = 200
_NESTED_REPEAT: Final = re.compile(r"[+*}]\)[+*{]")
"""Patterns such as (a+)+ can take forever on a crafted text: they are not run."""


def accept(parameter: Parameter, value: Any) -> Any:
    """The value in the argument's type, or None where the schema refuses it."""
    if value is None:
        return None
    typed = _as_type(parameter.type, value)
    if typed is None or (parameter.enum and typed not in parameter.enum):
        return None
    if isinstance(typed, str):
        return _accept_text(parameter, typed)
    if isinstance(typed, int | float) and not isinstance(typed, bool):
        return typed if _in_bounds(parameter.schema, typed) else None
    return typed


def _as_type(kind: str, value: Any) -> Any:
    if kind == "string":
        return value if isinstance(value, str) else _plain_text(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind in {"integer", "number"}:
        return _as_number(kind, value)
    if kind == "array":
        return value if isinstance(value, list) else None
    if kind == "object":
        return value if isinstance(value, dict) else None
    return None


def _plain_text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(int(value)) if float(value).is_integer() else str(value)


def _as_number(kind: str, value: Any) -> int | float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
        return None
    if float(value).is_integer():
        return int(value)
    return None if kind == "integer" else value


def _accept_text(parameter: Parameter, text: str) -> str | None:
    schema = parameter.schema
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if isinstance(longest, int) and len(text) > longest:
        return None
    if isinstance(shortest, int) and len(text) < shortest:
        return None
    pattern = compiled(schema.get("pattern"))
    if pattern is None:
        return text
    for written in dict.fromkeys((text, text.upper(), text.lower(), text.lstrip("#"), f"#{text}")):
        if len(written) <= _MAX_MATCHED and pattern.search(written):
            return written
    return None


def _in_bounds(schema: dict[str, Any], number: float) -> bool:
    bounds = (("minimum", ge), ("maximum", le), ("exclusiveMinimum", gt), ("exclusiveMaximum", lt))
    return all(
        within(number, schema[key])
        for key, within in bounds
        if isinstance(schema.get(key), int | float) and not isinstance(schema[key], bool)
    )


@lru_cache(maxsize=1_000)
def _compile(pattern: str) -> re.Pattern[str] | None:
    if len(pattern) > _MAX_PATTERN or _NESTED_REPEAT.search(pattern):
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def compiled(pattern: Any) -> re.Pattern[str] | None:
    """A schema's pattern ready to use; None where there is none or it is not safe to run."""
    return _compile(pattern) if isinstance(pattern, str) else None


def placeholder(parameter: Parameter) -> Any:
    """A value of the right type for an argument that must be given and is not known."""
    if parameter.enum:
        return parameter.enum[0]
    if "default" in parameter.schema:
        return parameter.schema["default"]
    least = parameter.schema.get("minimum")
    empty: dict[str, Any] = {
        "integer": least if isinstance(least, int) else 0,
        "number": least if isinstance(least, int | float) else 0,
        "boolean": False,
        "array": [],
        "object": {},
    }
    return empty.get(parameter.type, "unknown")
