"""What holds for all that is described elsewhere: names, clean texts, schemas that stand alone."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from pydantic import BaseModel

from fleet_contracts.errors import ConfigurationError

_MOST_CHARACTERS: Final = 64_000  # of one tool's definition; a model reads it with every request
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TEXTS: Final = ("description", "title")


def argument_name(wire: str, taken: set[str]) -> str:
    """Give an argument a name that models and the fleet can handle, its own where that will do.

    Raises:
        ConfigurationError: Another argument has that name.
    """
    name = wire
    if not _ARGUMENT.fullmatch(name):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", name).strip("_-")[:64] or "value"
    if hasattr(BaseModel, name) or name in {"described_by", "checked_by"}:
        name += "_"
    if name in taken:
        raise ConfigurationError(f"two arguments are called {name!r}")
    taken.add(name)
    return name


def visible(text: str) -> str:
    """A text without characters that nobody sees but a model."""
    kept = "".join(
        each for each in text if each in "\n\t" or unicodedata.category(each) not in _HIDDEN
    )
    return kept.strip()


def one_line(text: str, most: int) -> str:
    """A text from outside on one line of at most so many characters."""
    return " ".join(visible(text).split())[:most]


def clean_schema(schema: Any) -> Any:
    """A schema whose descriptions hold only visible text, and no pattern that cannot be used."""
    if isinstance(schema, list):
        return [clean_schema(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    cleaned: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _TEXTS and isinstance(value, str):
            cleaned[key] = visible(value)
        elif key != "pattern" or not isinstance(value, str) or _compiles(value):
            cleaned[key] = clean_schema(value)
    return cleaned


def require_small(name: str, definition: Mapping[str, Any]) -> None:
    """Refuse a definition that would fill a model's context.

    Raises:
        ConfigurationError: It is too large.
    """
    size = len(json.dumps(definition))
    if size > _MOST_CHARACTERS:
        raise ConfigurationError(
            f"{name} is described with {size:,} characters, the limit is {_MOST_CHARACTERS:,}: "
            "write a tool in tools.py that takes what the agent needs"
        )


def references(schema: Any) -> Iterator[str]:
    """All `$ref` in a schema."""
    if isinstance(schema, list):
        for each in schema:
            yield from references(each)
    elif isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for each in schema.values():
            yield from references(each)


def look_up(document: Any, reference: str) -> Any:
    """Follow a reference inside a document, one step.

    Raises:
        ConfigurationError: It leads out of the document, or nowhere.
    """
    if not reference.startswith("#"):
        raise ConfigurationError(
            f"{reference!r} refers to something outside: bundle it into one document"
        )
    found = document
    for part in unquote(reference[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ConfigurationError(f"{reference!r} leads nowhere") from None
    return found


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
