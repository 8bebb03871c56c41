"""Reads tool schemas: names, parameters and whether a tool seems to change something."""

from dataclasses import dataclass
from typing import Any, Final

from fleet_workers.embedded.offline_model.language import name_words, stem, words
from fleet_workers.embedded.offline_model.vocabulary import READ_VERBS, WEAK_VERBS, WRITE_VERBS

_MAX_DEPTH: Final = 8
_WRITE_STEMS: Final = frozenset(stem(verb) for verb in WRITE_VERBS)
_READ_STEMS: Final = frozenset(stem(verb) for verb in READ_VERBS)
_WEAK_STEMS: Final = frozenset(stem(verb) for verb in WEAK_VERBS)
_ID_WORDS: Final = frozenset({"id", "ids", "number", "no", "reference", "ref", "code", "key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of a tool. `schema` has its `$ref` and `anyOf` resolved."""

    name: str
    required: bool
    schema: dict[str, Any]

    @property
    def type(self) -> str:
        """JSON type; `string` where the schema names none."""
        kind = self.schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), None)
        if isinstance(kind, str):
            return kind
        enum = self.schema.get("enum")
        return "number" if isinstance(enum, list) and enum and _numbers(enum) else "string"

    @property
    def description(self) -> str:
        """What the schema says about the argument, or nothing."""
        return text_of(self.schema.get("description"))

    @property
    def enum(self) -> list[Any]:
        """The values allowed, or none where any value is."""
        if "const" in self.schema:
            return [self.schema["const"]]
        values = self.schema.get("enum")
        return values if isinstance(values, list) else []

    @property
    def words(self) -> list[str]:
        """The words of the name."""
        return name_words(self.name)

    @property
    def is_identifier(self) -> bool:
        """Whether the argument names one thing among others of its kind."""
        return bool(self.words) and self.words[-1] in _ID_WORDS

    @property
    def entity(self) -> frozenset[str]:
        """Stems of what the argument stands for: `invoic` for `invoice_id`."""
        return frozenset(stem(word) for word in self.words if word not in _ID_WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model sees it. `writes` is a guess from the verbs in name and description."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    writes: bool

    @property
    def required(self) -> tuple[Parameter, ...]:
        """The parameters without which the tool cannot be called."""
        return tuple(each for each in self.parameters if each.required)

    @property
    def name_stems(self) -> tuple[str, ...]:
        """Stems of the name's words, verbs such as get and list left out."""
        found = [stem(word) for word in name_words(self.name)]
        return tuple(each for each in found if each not in _WEAK_STEMS) or tuple(found)

    @property
    def action_stems(self) -> frozenset[str]:
        """Stems of the words in the name that say what is done."""
        named = name_words(self.name)
        actions = frozenset(stem(word) for word in named if word in WRITE_VERBS)
        return actions or frozenset(stem(word) for word in named[:1])

    @property
    def phrase(self) -> str:
        """The tool's name as words."""
        return " ".join(name_words(self.name)) or self.name


def text_of(value: Any) -> str:
    """A string as it is; nothing for anything else."""
    return value if isinstance(value, str) else ""


def read_tools(tools: list[dict[str, Any]]) -> tuple[ToolSpec, ...]:
    """Read the `tools` of a request, checked before to be objects with a function's name."""
    return tuple(_read_tool(tool["function"]) for tool in tools)


def _read_tool(function: dict[str, Any]) -> ToolSpec:
    name, description = function["name"], text_of(function.get("description"))
    root = function.get("parameters")
    root = root if isinstance(root, dict) else {}
    schema = _resolve(root, root, 0)
    properties = schema.get("properties")
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    parameters = tuple(
        Parameter(name=str(key), required=key in required, schema=_resolve(value, root, 0))
        for key, value in (properties if isinstance(properties, dict) else {}).items()
    )
    return ToolSpec(
        name=name,
        description=description,
        parameters=parameters,
        writes=_seems_to_write(name, description),
    )


def resolve_items(parameter: Parameter) -> Parameter:
    """The parameter that one item of an array parameter is."""
    items = parameter.schema.get("items")
    return Parameter(
        name=parameter.name, required=True, schema=items if isinstance(items, dict) else {}
    )


def _resolve(schema: Any, root: dict[str, Any], depth: int) -> dict[str, Any]:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return {}
    merged = {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
    parts = [_follow(schema["$ref"], root)] if "$ref" in schema else []
    parts += schema["allOf"] if isinstance(schema.get("allOf"), list) else []
    for key in ("anyOf", "oneOf"):
        choices = schema.get(key)
        if isinstance(choices, list):
            parts += [part for part in choices if not _is_null(part)][:1]
            merged.pop(key, None)
    for part in parts:
        for key, value in _resolve(part, root, depth + 1).items():
            merged.setdefault(key, value)
    if isinstance(merged.get("items"), dict):
        merged["items"] = _resolve(merged["items"], root, depth + 1)
    return merged


def _follow(reference: Any, root: dict[str, Any]) -> Any:
    place: Any = root
    for part in text_of(reference).removeprefix("#").strip("/").split("/"):
        place = place.get(part) if isinstance(place, dict) else None
    return None if place is root else place


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _seems_to_write(name: str, description: str) -> bool:
    named = name_words(name)
    if named and named[0] in READ_VERBS:
        return False
    if named and named[0] in WRITE_VERBS:
        return True
    # Deeper in a name or description a verb may be a noun: "opening_hours", "Lists open orders".
    opening = [stem(word) for word in words(description)[:1]]
    if opening and opening[0] in _READ_STEMS:
        return False
    return any(word in WRITE_VERBS for word in named) or bool(
        opening and opening[0] in _WRITE_STEMS
    )
