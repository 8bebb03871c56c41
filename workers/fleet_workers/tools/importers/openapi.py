"""Reads tools out of an OpenAPI document: each operation that is asked for becomes one."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonschema.exceptions import SchemaError

from fleet_contracts.errors import ConfigurationError
from fleet_workers.tools.importers.definitions import (
    argument_name,
    clean_schema,
    require_small,
    visible,
)
from fleet_workers.tools.importers.lock import LockedTool, Operation, Place, fingerprint
from fleet_workers.tools.importers.openapi_schema import SchemaConverter
from fleet_workers.tools.importers.schema_model import arguments_model, result_type

METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
_FILLED_BY_THE_FLEET: Final = frozenset({"accept", "content-type", "authorization"})
"""Header parameters that OpenAPI tells to ignore."""
_REFUSED_HEADERS: Final = frozenset(
    {"host", "cookie", "content-length", "transfer-encoding", "connection", "te", "upgrade"}
)


def read_tools(document: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, LockedTool]:
    """Make tools of the operations that `names` asks for, each our name to the document's.

    Raises:
        ConfigurationError: An operation is missing, or cannot be called by a model.
    """
    found = {name: each for each in _operations(document) for name in _names(each)}
    tools = {}
    for name, remote in names.items():
        if remote not in found:
            known = ", ".join(sorted({_names(each)[0] for each in found.values()})[:30])
            raise ConfigurationError(f"it has no operation {remote!r}; it has {known or 'none'}")
        try:
            tools[name] = _OperationReader(document, *found[remote]).read(remote)
            arguments_model(name, tools[name].arguments)
            result_type(tools[name].result)
        except ConfigurationError as error:
            raise ConfigurationError(f"operation {remote}: {error}") from error
        except SchemaError as error:
            raise ConfigurationError(f"operation {remote}: {error.message}") from error
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"operation {remote} is malformed: {error!r}") from error
        require_small(name, tools[name].arguments)
    return tools


_Found = tuple[str, str, Mapping[str, Any], Mapping[str, Any]]
"""Method, path, the path's item, the operation."""


def _operations(document: Mapping[str, Any]) -> Iterator[_Found]:
    converter = SchemaConverter(document, "request")
    for path, item in document.get("paths", {}).items():
        resolved = converter.resolve(item)
        if not isinstance(resolved, Mapping):
            continue
        for method in METHODS:
            if isinstance(resolved.get(method), Mapping):
                yield method.upper(), str(path), resolved, resolved[method]


def _names(found: _Found) -> list[str]:
    method, path, _, operation = found
    named = [operation["operationId"]] if isinstance(operation.get("operationId"), str) else []
    return [*named, f"{method} {path}"]


class _OperationReader:
    """Reads one operation into a tool."""

    def __init__(
        self,
        document: Mapping[str, Any],
        method: str,
        path: str,
        item: Mapping[str, Any],
        operation: Mapping[str, Any],
    ) -> None:
        self._document = document
        self._method, self._path = method, path
        self._item, self._operation = item, operation
        self._requests = SchemaConverter(document, "request")
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self._places: dict[str, Place] = {}
        self._taken: set[str] = set()

    def read(self, remote: str) -> LockedTool:
        """The tool.

        Raises:
            ConfigurationError: It takes or gives what is not JSON, or is not described.
        """
        for parameter in self._parameters():
            self._add_parameter(parameter)
        self._require_places()
        body_required = self._add_body()
        arguments = {
            "type": "object",
            "properties": self._properties,
            "required": self._required,
            "additionalProperties": False,
            **self._requests.definitions(),
        }
        operation = Operation(
            method=self._method,
            path=self._path,
            body_required=body_required,
            places=self._places,
        )
        texts = [self._operation.get("summary"), self._operation.get("description")]
        said = {
            "description": texts,
            "arguments": arguments,
            "result": self._result(),
            "operation": operation.model_dump(mode="json"),
        }
        description = "\n\n".join(dict.fromkeys(visible(each) for each in texts if each))
        return LockedTool(
            remote=remote,
            description=description or f"{self._method} {self._path}",
            arguments=clean_schema(arguments),
            result=clean_schema(said["result"]),
            operation=operation,
            fingerprint=fingerprint(said),
        )

    def _require_places(self) -> None:
        placed = {each.name for each in self._places.values() if each.where == "path"}
        missing = set(re.findall(r"\{([^{}]*)\}", self._path)) ^ placed
        if missing or not self._path.startswith("/"):
            raise ConfigurationError(
                f"path {self._path} and its parameters do not fit: {', '.join(sorted(missing))}"
            )

    def _parameters(self) -> list[Mapping[str, Any]]:
        merged: dict[tuple[str, str], Mapping[str, Any]] = {}
        for each in [*self._item.get("parameters", []), *self._operation.get("parameters", [])]:
            parameter = self._requests.resolve(each)
            merged[parameter["in"], parameter["name"]] = parameter
        return list(merged.values())

    def _add_parameter(self, parameter: Mapping[str, Any]) -> None:
        where, name = parameter["in"], str(parameter["name"])
        required = where == "path" or parameter.get("required") is True
        if where == "header" and name.lower() in _FILLED_BY_THE_FLEET:
            return
        if where == "cookie" or (where == "header" and name.lower() in _REFUSED_HEADERS):
            if required:
                raise ConfigurationError(
                    f"it needs the {where} {name}, which is nothing for a model to choose"
                )
            return
        content = parameter.get("content")
        if content is not None:
            schema, style = self._json_schema(content, f"parameter {name}"), "json"
        else:
            schema = parameter.get("schema", {})
            style = self._style(parameter, schema)
        argument = argument_name(name, self._taken)
        converted = self._requests.convert(schema)
        if parameter.get("description"):
            converted = {**converted, "description": parameter["description"]}
        self._properties[argument] = converted
        self._places[argument] = Place.model_validate(
            {"where": where, "name": name, "style": style}
        )
        if required:
            self._required.append(argument)

    def _style(self, parameter: Mapping[str, Any], schema: Any) -> str:
        where, name = parameter["in"], parameter["name"]
        usual = "form" if where == "query" else "simple"
        resolved = self._requests.resolve(schema)
        is_list = isinstance(resolved, Mapping) and resolved.get("type") == "array"
        is_object = isinstance(resolved, Mapping) and (
            resolved.get("type") == "object" or "properties" in resolved
        )
        if is_object or parameter.get("style", usual) != usual:
            raise ConfigurationError(
                f"parameter {name} is written in a way that is not supported "
                f"({parameter.get('style', 'an object')}): write a tool in tools.py"
            )
        explode = parameter.get("explode", usual == "form")
        return "repeated" if is_list and explode and where == "query" else "joined"

    def _add_body(self) -> bool:
        body = self._requests.resolve(self._operation.get("requestBody"))
        if not isinstance(body, Mapping):
            return False
        schema = self._json_schema(body.get("content", {}), "its body")
        flat = self._requests.flat_object(schema)
        if flat is not None and not self._clashes(flat[0]):
            for wire, each in flat[0].items():
                argument = argument_name(wire, self._taken)
                self._properties[argument] = self._requests.convert(each)
                self._places[argument] = Place(where="field", name=wire)
                if wire in flat[1]:
                    self._required.append(argument)
            return body.get("required") is True
        argument = argument_name("body", self._taken)
        self._properties[argument] = self._requests.convert(schema)
        self._places[argument] = Place(where="body", name="body")
        if body.get("required") is True:
            self._required.append(argument)
        return False

    def _clashes(self, properties: Mapping[str, Any]) -> bool:
        taken = set(self._taken)
        try:
            for wire in properties:
                argument_name(wire, taken)
        except ConfigurationError:
            return True
        return False

    def _result(self) -> dict[str, Any] | bool | None:
        responses = self._operation.get("responses", {})
        for status in sorted(key for key in responses if str(key).startswith("2")):
            response = self._requests.resolve(responses[status])
            content = response.get("content") if isinstance(response, Mapping) else None
            media = _json_media(content or {})
            if media is None or "schema" not in media:
                continue
            converter = SchemaConverter(self._document, "response")
            schema = converter.convert(media["schema"])
            if isinstance(schema, bool):
                return schema
            return {**schema, **converter.definitions()}
        return None

    def _json_schema(self, content: Mapping[str, Any], what: str) -> Any:
        media = _json_media(content)
        if media is None:
            raise ConfigurationError(
                f"{what} is {', '.join(content) or 'nothing'}, only JSON can be imported: "
                "write a tool in tools.py"
            )
        return media.get("schema", {})


def _json_media(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for name, media in content.items():
        kind = name.partition(";")[0].strip().lower()
        if kind == "application/json" or kind.endswith("+json"):
            return dict(media)
    return None
