"""Writes values as JSON text that PostgreSQL's jsonb takes, whatever a model or a tool has said."""

import json
import re
from typing import Any, TypeVar

T = TypeVar("T")

_REFUSED = re.compile(
    r"[\x00\ud800-\udfff]"
)  # NUL and lone surrogates: valid JSON, refused by jsonb
_SUSPECT = ("\\u0000", "\\ud")


def as_stored(value: T) -> T:
    """A JSON-ready value with its texts as they read when they come back from the store."""
    stored: T = _cleaned(value)
    return stored


def json_text(value: object) -> str:
    """JSON of a value. NUL, which jsonb refuses, becomes U+2400, a lone surrogate U+FFFD."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    if any(mark in text for mark in _SUSPECT):
        text = json.dumps(_cleaned(value), allow_nan=False, separators=(",", ":"))
    return text


def canonical_json(value: object) -> str:
    """The one text that stands for a JSON value: sorted keys, no spaces, UTF-8 as it is.

    A float without a fraction is written as an integer, as the store may give it back so. NUL and
    lone surrogates are replaced as in `json_text`.
    """
    plain = _with_plain_numbers(_cleaned(value))
    return json.dumps(
        plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )


def _with_plain_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _with_plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(item) for item in value]
    return value


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        if _REFUSED.search(value) is None:
            return value
        # Pairs of surrogates that came as two code points are one character.
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return _REFUSED.sub("\ufffd", whole.replace("\x00", "\u2400"))
    if isinstance(value, dict):
        return {_cleaned(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value
