"""Makes form fields of an action's arguments, and reads arguments out of such a form.

A field that a person leaves as it is keeps the agent's own value, to the last character.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fleet_contracts.errors import InvalidInput
from fleet_workers.review.wording import is_money, label_of
from fleet_workers.tools import Tool
from fleet_workers.web.console.forms import Fields

FieldKind = Literal["text", "long", "number", "choice", "yes_no", "json"]

_PREFIX = "arg."
_LONG_TEXT = 60
_YES, _NO = "yes", "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditField:
    """One argument in a form. `value` is its text there; empty stands for an argument left out.

    `original` is the agent's value, where one `is_given`. `is_fixed` marks whom the task is
    about: nobody may change it.
    """

    name: str
    label: str
    kind: FieldKind
    value: str
    hint: str
    choices: tuple[str, ...]
    is_required: bool
    is_fixed: bool
    is_given: bool
    original: Any

    @property
    def form_name(self) -> str:
        """What the form calls it."""
        return f"{_PREFIX}{self.name}"


def edit_fields(tool: Tool | None, arguments: Mapping[str, Any]) -> list[EditField]:
    """The arguments of a proposed call in the order in which the tool takes them.

    Without a tool (it is installed no more) each field is what its value looks like.
    """
    schema = tool.arguments.model_json_schema() if tool is not None else {}
    known, definitions = schema.get("properties", {}), schema.get("$defs", {})
    required = frozenset(schema.get("required", ()))
    names = dict.fromkeys((*known, *arguments))
    return [
        _field(
            name,
            arguments,
            _resolved(known.get(name, {}), definitions),
            is_required=name in required,
            is_fixed=tool is not None and name == tool.customer_argument,
        )
        for name in names
    ]


def typed_values(fields: Sequence[EditField], form: Fields) -> dict[str, str]:
    """What somebody has typed, by the fields' names in the form."""
    return {each.form_name: _typed(each, form) for each in fields}


def arguments_from(fields: Sequence[EditField], form: Fields) -> dict[str, Any]:
    """The arguments that a form says.

    Raises:
        InvalidInput: A field cannot be read, or nothing was changed; the text names the field.
    """
    arguments: dict[str, Any] = {}
    changed = False
    for each in fields:
        typed = _typed(each, form)
        if each.is_fixed or _same(typed, each.value):
            if each.is_given:
                arguments[each.name] = each.original
            continue
        changed = True
        if typed or (each.is_required and each.kind in {"text", "long"}):
            arguments[each.name] = _parsed(each, typed)
        elif each.is_required:
            raise InvalidInput(f"{each.label} is needed: fill it in.")
    if not changed:
        raise InvalidInput("Nothing was changed: change a value, or approve it as it is.")
    return arguments


def _typed(field: EditField, form: Fields) -> str:
    """A field that the form lacks was not changed."""
    if field.form_name not in form.values:
        return field.value
    return form.get(field.form_name).replace("\r\n", "\n")


def _same(typed: str, shown: str) -> bool:
    """Browsers end lines in their own way, and forms lose white space around a value."""
    return typed.strip() == shown.replace("\r\n", "\n").strip()


def _field(
    name: str,
    arguments: Mapping[str, Any],
    schema: Mapping[str, Any],
    *,
    is_required: bool,
    is_fixed: bool,
) -> EditField:
    value = arguments.get(name)
    kind = _kind(value, schema)
    choices = tuple(str(each) for each in schema.get("enum", ()))
    return EditField(
        name=name,
        label=f"{label_of(name, is_money=True)} (USD)" if is_money(name) else label_of(name),
        kind=kind,
        value=_shown(value, kind),
        hint=str(schema.get("description", "")),
        choices=(_YES, _NO) if kind == "yes_no" else choices,
        is_required=is_required,
        is_fixed=is_fixed,
        is_given=name in arguments,
        original=value,
    )


def _kind(value: Any, schema: Mapping[str, Any]) -> FieldKind:
    """By what the tool takes; where it takes several kinds, or nobody knows, by the value."""
    if isinstance(value, Mapping | list):
        return "json"
    options = schema.get("enum")
    if isinstance(options, list) and options and all(isinstance(each, str) for each in options):
        return "choice" if value is None or value in options else "text"
    taken = _types(schema)
    if isinstance(value, bool) or (value is None and taken == {"boolean"}):
        return "yes_no"
    if isinstance(value, int | float) or taken & {"number", "integer"}:
        return "number"
    if taken & {"array", "object"}:
        return "json"
    is_long = isinstance(value, str) and (len(value) > _LONG_TEXT or "\n" in value)
    return "long" if is_long else "text"


def _types(schema: Mapping[str, Any]) -> set[str]:
    parts = schema.get("anyOf") or [schema]
    return {str(part.get("type")) for part in parts if part.get("type") not in {None, "null"}}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """A property with what it refers to, and without the null that it may be."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        described = {key: value for key, value in schema.items() if key != "$ref"}
        return {**definitions.get(reference.rpartition("/")[2], {}), **described}
    parts = [
        _resolved(part, definitions)
        for part in schema.get("anyOf", ())
        if part.get("type") != "null"
    ]
    if len(parts) == 1:
        return {**parts[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    return {**schema, "anyOf": parts} if parts else schema


def _shown(value: Any, kind: FieldKind) -> str:
    if value is None:
        return ""
    if kind == "yes_no":
        return _YES if value else _NO
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if kind == "json" else None)


def _parsed(field: EditField, typed: str) -> Any:
    match field.kind:
        case "yes_no":
            if typed not in {_YES, _NO}:
                raise InvalidInput(f"{field.label} is yes or no.")
            return typed == _YES
        case "number":
            return _number(field, typed)
        case "json":
            return _json(field, typed)
        case _:
            return typed


def _number(field: EditField, typed: str) -> Any:
    """A number, as text where the agent wrote it so: money has no more places than were typed."""
    try:
        number = json.loads(typed)
    except (ValueError, RecursionError):
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise InvalidInput(f"{field.label} must be a number such as 49.50, not {typed[:60]!r}.")
    return typed if isinstance(field.original, str) else number


def _json(field: EditField, typed: str) -> Any:
    try:
        return json.loads(typed)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{field.label} must stay JSON: {error}.") from error
