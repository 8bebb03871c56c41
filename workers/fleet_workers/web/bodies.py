"""Reads request bodies: size first, then strict JSON."""

import json
import math
from collections.abc import Iterable
from typing import Any, Never

from fastapi import Request

from fleet_contracts.envelope import MAX_ENVELOPE_BYTES
from fleet_contracts.errors import InvalidInput
from fleet_workers.web.errors import BodyTooLarge, MalformedBody

MAX_TASK_BODY_BYTES = 4 * MAX_ENVELOPE_BYTES
"""Escapes such as `\\u00e9` make the same envelope up to three times as long on the wire."""

MAX_BULK_BODY_BYTES = 16 * 1024 * 1024
"""Sixteen kilobytes for each of a thousand tasks; read into memory whole."""

_MAX_DEPTH = 100  # Python's own limit is ten times that, and shared with all who call
_DRAINED_BYTES = 32 * 1024 * 1024  # read and dropped, so that most clients get to see the 413


async def read_body(request: Request, *, limit_bytes: int) -> bytes:
    """Read a body up to a limit.

    Raises:
        BodyTooLarge: It is longer.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit_bytes:
            chunks.append(chunk)
        elif size > _DRAINED_BYTES:
            break
    if size > limit_bytes:
        raise BodyTooLarge(
            f"The body is over {limit_bytes:,} bytes: send less at once, and put large content in "
            "a store whose address goes into data."
        )
    return b"".join(chunks)


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MalformedBody: It is no JSON, or no object.
    """
    try:
        payload = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_number, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"The body is not JSON in UTF-8: {error}.") from error
    if not isinstance(payload, dict):
        raise MalformedBody("The body must be a JSON object.")
    return payload


def parse_flat_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object that every part of the fleet can write again.

    Raises:
        MalformedBody: As `parse_object`, or it is nested deeper than anybody needs.
        InvalidInput: A text holds half of a surrogate pair, which is no character.
    """
    payload = parse_object(body)
    level: list[Any] = [payload]
    for _ in range(_MAX_DEPTH):
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            break
    else:
        raise MalformedBody(f"The body is nested over {_MAX_DEPTH} deep: send flatter data.")
    _check_characters(payload)
    return payload


def check_envelope_size(payload: dict[str, Any]) -> None:
    """Refuse a payload that cannot be an envelope for its size.

    Raises:
        BodyTooLarge: Its shortest JSON text is over the limit of an envelope.
        MalformedBody: It is nested too deeply to be written again.
    """
    try:
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    except RecursionError as error:
        raise MalformedBody("The body is nested too deeply: send flatter data.") from error
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_ENVELOPE_BYTES:
        raise BodyTooLarge(
            f"The envelope is {size:,} bytes, the limit is {MAX_ENVELOPE_BYTES:,}: "
            "shorten the text, or put large content in a store and send its address in data."
        )


def _check_characters(payload: dict[str, Any]) -> None:
    try:
        json.dumps(payload, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            "The body holds half of a surrogate pair, such as \\ud83d alone: send whole characters."
        ) from error


def _inner(value: Any) -> Iterable[Any]:
    """The objects and lists right in a value."""
    items = value.values() if isinstance(value, dict) else value
    return [each for each in items if isinstance(each, dict | list)]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_number(text)
    return number


def _refuse_number(text: str) -> Never:
    raise ValueError(f"{text} is no number that JSON can carry")
