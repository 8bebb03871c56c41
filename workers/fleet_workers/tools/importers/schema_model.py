"""Wraps a JSON schema in a pydantic model, so that an imported tool validates as any other."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final

from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError as SchemaFault
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from referencing import Registry
from referencing.exceptions import Unresolvable

_FAULTS_TOLD: Final = 8  # a model mends no more at once
_FAULT_CHARACTERS: Final = 500


class _Absent:
    """Stands for an argument that was not given, which is not the same as null."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()

_formats = FormatChecker(("date", "time", "email", "ipv4", "ipv6", "uuid"))


@_formats.checks("date-time", ValidationError)
def _is_date_time(value: object) -> bool:
    if isinstance(value, str):
        TypeAdapter(AwareDatetime).validate_python(value)
    return True


class SchemaArguments(BaseModel):
    """Arguments described by a JSON schema of an object.

    Each property is a field; one that was not given is `ABSENT`. Values are kept as they are: no
    text becomes a number.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    described_by: ClassVar[dict[str, Any]]
    checked_by: ClassVar[Validator]

    @model_validator(mode="before")
    @classmethod
    def _fit_the_schema(cls, data: Any) -> Any:
        faults = list(_faults(cls.checked_by, data)) or list(_unsendable(data))
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return data

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """The schema as it was imported."""
        return copy.deepcopy(cls.described_by)


def arguments_model(name: str, schema: Mapping[str, Any]) -> type[SchemaArguments]:
    """Make the arguments' type of a tool. No property may be called as an attribute of a model.

    Raises:
        jsonschema.SchemaError: The schema is none.
    """
    described = {
        "type": "object",
        "properties": {},
        **copy.deepcopy(dict(schema)),
        "additionalProperties": False,
    }
    fields: dict[str, Any] = dict.fromkeys(described["properties"], (Any, ABSENT))
    model = create_model(f"{name}_arguments", __base__=SchemaArguments, **fields)
    model.described_by = described
    model.checked_by = _validator(described, _formats)
    return model


def result_type(schema: Mapping[str, Any] | bool | None) -> TypeAdapter[Any]:
    """Make the type of a tool's result; anything where nothing is said.

    Patterns, formats and uniqueItems are not looked at: a server must not be able to choose both
    the rule and a value that takes hours to hold against it.
    """
    if schema is None:
        return TypeAdapter(Any)
    validator = _validator(
        schema if isinstance(schema, bool) else _without_slow_rules(schema), None
    )

    def check(value: Any) -> Any:
        for fault in _faults(validator, value):
            raise ValueError(str(fault["type"]))
        return value

    return TypeAdapter(Annotated[Any, AfterValidator(check)])


def _validator(schema: Any, formats: FormatChecker | None) -> Validator:
    kind = validator_for(schema, default=Draft202012Validator)
    kind.check_schema(schema)
    # An empty registry: a reference never makes this process fetch something.
    return kind(schema, registry=Registry(), format_checker=formats)


def _without_slow_rules(value: Any) -> Any:
    if isinstance(value, Mapping):
        dropped = {"pattern"} if isinstance(value.get("pattern"), str) else set()
        if "properties" in value or "type" in value:
            dropped |= {"patternProperties"}
        if isinstance(value.get("uniqueItems"), bool):
            dropped |= {"uniqueItems"}
        return {key: _without_slow_rules(each) for key, each in value.items() if key not in dropped}
    if isinstance(value, list):
        return [_without_slow_rules(each) for each in value]
    return value


def _unsendable(data: Any) -> Iterator[InitErrorDetails]:
    """What Python can hold and JSON cannot: it would break only when it goes out."""
    for name, value in data.items():
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError):
            yield _fault((name,), "Input should hold only whole characters and finite numbers", "")


def _faults(validator: Validator, value: Any) -> Iterator[InitErrorDetails]:
    try:
        found = sorted(validator.iter_errors(value), key=lambda fault: list(map(str, fault.path)))
    except (RecursionError, Unresolvable):
        yield _fault((), "Nested too deeply, or in circles", value)
        return
    for fault in found[:_FAULTS_TOLD]:
        yield from _told(fault)


def _told(fault: SchemaFault) -> Iterator[InitErrorDetails]:
    place = tuple(fault.absolute_path)
    rule = str(fault.validator)
    given: Any = fault.instance
    limit: Any = fault.validator_value
    if rule == "required":
        for name in limit:
            if isinstance(given, dict) and name not in given:
                yield _fault((*place, name), "Field required", given)
        return
    if rule == "additionalProperties" and limit is False and isinstance(fault.schema, Mapping):
        known = fault.schema.get("properties", {})
        for name in given:
            if name not in known:
                yield _fault((*place, name), "Extra inputs are not permitted", given)
        return
    if rule in {"anyOf", "oneOf"} and fault.context:
        # "It must be null" is true and helps nobody.
        helpful = [each for each in fault.context if each.validator_value != "null"]
        nearest = best_match(helpful or fault.context)
        if nearest is not None:
            yield from _told(nearest)
        return
    yield _fault(place, _sentence(rule, limit), given)


def _sentence(rule: str, limit: Any) -> str:
    kinds = limit if isinstance(limit, list) else [limit]
    sentences = {
        "type": "Input should be " + " or ".join(f"a valid {kind}" for kind in kinds),
        "enum": "Input should be one of " + ", ".join(repr(each) for each in kinds),
        "const": f"Input should be {limit!r}",
        "format": f"Input should be a valid {limit}",
        "pattern": f"Input should match the pattern {limit!r}",
        "uniqueItems": "Input should hold nothing twice",
    }
    return sentences.get(rule, f"Input should keep to {rule} {limit!r}")[:_FAULT_CHARACTERS]


def _fault(place: tuple[str | int, ...], sentence: str, given: Any) -> InitErrorDetails:
    # Curly brackets would be read as places to fill.
    text = PydanticCustomError("json_schema", "{sentence}", {"sentence": sentence})
    return InitErrorDetails(type=text, loc=place, input=given)
