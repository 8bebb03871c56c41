"""Turns schemas of OpenAPI 3.0 and 3.1 into JSON schemas that stand alone."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from fleet_contracts.errors import ConfigurationError
from fleet_workers.tools.importers.definitions import look_up

Direction = Literal["request", "response"]

_FOR_PEOPLE: Final = frozenset(
    {"xml", "externalDocs", "example", "examples", "discriminator", "deprecated"}
)
_NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose keys are names of the author's own."""


class SchemaConverter:
    """Converts the schemas of one document, for one direction of travel.

    Every reference becomes one into `$defs`, so that recursive schemas stay finite.
    """

    def __init__(self, document: Mapping[str, Any], direction: Direction) -> None:
        self._document = document
        self._is_old = str(document.get("openapi", "")).startswith("3.0")
        self._hidden = "readOnly" if direction == "request" else "writeOnly"
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Any] = {}

    def convert(self, schema: Any) -> Any:
        """One schema; what it refers to is kept for `definitions`."""
        if isinstance(schema, list):
            return [self.convert(each) for each in schema]
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            converted = {"$ref": f"#/$defs/{self._define(str(schema['$ref']))}"}
            return converted if self._is_old else {**self._parts(schema), **converted}
        parts = self._parts(schema)
        return self._modern(parts, schema) if self._is_old else parts

    def definitions(self) -> dict[str, Any]:
        """`{"$defs": …}` of all that was referred to so far, or nothing."""
        return {"$defs": dict(self._definitions)} if self._definitions else {}

    def flat_object(self, schema: Any) -> tuple[dict[str, Any], list[str]] | None:
        """Properties and required names of a plain object, allOf included; else None."""
        schema = self.resolve(schema)
        if not isinstance(schema, Mapping) or {"oneOf", "anyOf", "not", "if"} & schema.keys():
            return None
        if schema.get("type", "object") not in ("object", ["object"]) or schema.get("nullable"):
            return None
        if "properties" not in schema and "allOf" not in schema:
            return None
        properties: dict[str, Any] = {}
        required: list[str] = []
        for part in schema.get("allOf", []):
            inner = self.flat_object(part)
            if inner is None or properties.keys() & inner[0].keys():
                return None
            properties |= inner[0]
            required += inner[1]
        own = self._shown(schema.get("properties", {}))
        if properties.keys() & own.keys():
            return None
        properties |= own
        required += schema.get("required", [])
        return properties, [each for each in dict.fromkeys(required) if each in properties]

    def resolve(self, value: Any) -> Any:
        """Follow references to what stands at their end."""
        for _ in range(32):
            if not isinstance(value, Mapping) or "$ref" not in value:
                return value
            value = look_up(self._document, str(value["$ref"]))
        raise ConfigurationError("a reference leads round in circles")

    def _define(self, reference: str) -> str:
        if reference not in self._names:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rsplit("/", maxsplit=1)[-1]) or "root"
            while name in self._definitions:
                name += "_"
            self._names[reference] = name
            self._definitions[name] = True  # the place is taken before the schema names itself
            self._definitions[name] = self.convert(look_up(self._document, reference))
        return self._names[reference]

    def _parts(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _FOR_PEOPLE or key == "$ref" or key.startswith("x-"):
                continue
            if key in {"enum", "const", "default", "required"}:
                parts[key] = value
            elif key in _NAMED and isinstance(value, Mapping):
                shown = self._shown(value) if key == "properties" else value
                parts[key] = {name: self.convert(each) for name, each in shown.items()}
            else:
                parts[key] = self.convert(value)
        if "properties" in parts and "required" in parts:
            hidden = set(schema["properties"]) - set(parts["properties"])
            parts["required"] = [each for each in parts["required"] if each not in hidden]
        return parts

    def _shown(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Without what does not travel this way: an id in a request, a password in a response."""
        return {
            name: each
            for name, each in properties.items()
            if not (isinstance(each, Mapping) and self.resolve(each).get(self._hidden) is True)
        }

    @staticmethod
    def _modern(parts: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """From the dialect of 3.0 to the JSON schema of today."""
        nullable = parts.pop("nullable", False)
        for limit, exclusive in (
            ("minimum", "exclusiveMinimum"),
            ("maximum", "exclusiveMaximum"),
        ):
            if parts.get(exclusive) is True and limit in parts:
                parts[exclusive] = parts.pop(limit)
            elif isinstance(parts.get(exclusive), bool):
                del parts[exclusive]
        if not nullable:
            return parts
        if "type" not in parts or "enum" in parts:
            return {"anyOf": [parts, {"type": "null"}]}
        return {**parts, "type": [schema["type"], "null"]}
