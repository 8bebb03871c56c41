"""Calls an operation of an HTTP service with a tool's arguments."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

import httpx2

from fleet_contracts.errors import PermanentError
from fleet_workers.tools.context import ToolContext
from fleet_workers.tools.importers.authorization import SAFE_HEADER, address, authorization
from fleet_workers.tools.importers.definitions import one_line
from fleet_workers.tools.importers.lock import Operation, Place
from fleet_workers.tools.importers.schema_model import ABSENT
from fleet_workers.tools.importers.settings import ImportSection

_MOST_BYTES: Final = 1_000_000  # of an answer: more than a model reads of it, however escaped
_LONGEST_SECONDS: Final = 600.0
_REASON_CHARACTERS: Final = 300
_SAYS_NO: Final = frozenset({400, 404, 409, 410, 422})
"""Statuses whose reason the model should read: asking again in the same way cannot help."""
_NO_CONTENT: Final = frozenset({204, 205})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCall:
    """How one tool calls its operation; `key_header` takes our idempotency key."""

    tool: str
    section: ImportSection
    operation: Operation
    is_write: bool
    key_header: str | None

    def function(self) -> Callable[..., Any]:
        """The tool's function: a request, and what it answers.

        It raises PermanentError where the service says no, ConfigurationError where a variable is
        wrong, and httpx2's errors, which the runtime classes. A write that was done is never an
        error, whatever the answer looks like.
        """

        def call(context: ToolContext, /, **arguments: Any) -> Any:
            given = {name: each for name, each in arguments.items() if each is not ABSENT}
            ends_at = time.monotonic() + (context.http.timeout.read or _LONGEST_SECONDS)
            with context.http.stream(
                self.operation.method,
                self._url(context, given),
                params=self._query(given),
                headers=self._headers(context, given),
                follow_redirects=False,
                **self._body(given),
            ) as response:
                return self._answer(response, ends_at)

        return call

    def _url(self, context: ToolContext, given: Mapping[str, Any]) -> str:
        base = address(context.environment, str(self.section.base_url_variable))
        path = self.operation.path
        for name, place in self._placed("path"):
            path = path.replace(f"{{{place.name}}}", _segment(name, _text(given[name])))
        return base.rstrip("/") + path

    def _query(self, given: Mapping[str, Any]) -> httpx2.QueryParams:
        pairs: list[tuple[str, str | int | float | bool | None]] = []
        for name, place in self._placed("query"):
            if name not in given:
                continue
            value = given[name]
            if place.style == "json":
                pairs.append((place.name, json.dumps(value)))
            elif place.style == "repeated" and isinstance(value, list):
                pairs += [(place.name, _text(each)) for each in value]
            else:
                pairs.append((place.name, _text(value)))
        return httpx2.QueryParams(pairs)

    def _headers(self, context: ToolContext, given: Mapping[str, Any]) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        for name, place in self._placed("header"):
            if name in given:
                value = given[name]
                text = json.dumps(value) if place.style == "json" else _text(value)
                headers[place.name] = _header(name, text)
        headers |= authorization(self.section, context.environment)
        if self.key_header is not None:
            headers[self.key_header] = context.idempotency_key
        return headers

    def _body(self, given: Mapping[str, Any]) -> dict[str, Any]:
        for name, _ in self._placed("body"):
            return {"json": given[name]} if name in given else {}
        fields = {place.name: given[name] for name, place in self._placed("field") if name in given}
        return {"json": fields} if fields or self.operation.body_required else {}

    def _placed(self, where: str) -> list[tuple[str, Place]]:
        return [
            (name, place)
            for name, place in self.operation.places.items()
            if place.where == where and not self._is_filled(place)
        ]

    def _is_filled(self, place: Place) -> bool:
        return place.where == "header" and place.name.lower() in filled_headers(
            self.section, self.key_header
        )

    def _answer(self, response: httpx2.Response, ends_at: float) -> Any:
        if response.status_code in _SAYS_NO:
            raise PermanentError(
                f"{self.tool}: refused ({response.status_code}): {_reason(response, ends_at)}"
            )
        response.raise_for_status()
        if response.status_code in _NO_CONTENT or self.operation.method == "HEAD":
            return None
        try:
            return _content(response, ends_at)
        except (ValueError, RecursionError, httpx2.HTTPError) as error:
            if self.is_write:
                return f"Done. The answer cannot be used: {error}"
            if isinstance(error, httpx2.HTTPError):
                raise
            raise PermanentError(f"{self.tool}: the answer cannot be used: {error}") from error


def filled_headers(section: ImportSection, key_header: str | None) -> frozenset[str]:
    """Headers that the fleet fills itself, in small letters: a model never sees them."""
    named = [key_header] if key_header else []
    if section.authorization_variable is not None:
        named.append(section.authorization_header)
    return frozenset(each.lower() for each in named)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_text(each) for each in value)
    if isinstance(value, dict):
        return json.dumps(value)
    return "" if value is None else str(value)


def _segment(name: str, value: str) -> str:
    """One segment of a path, which can lead nowhere else, however often a server decodes it."""
    decoded = value
    for _ in range(4):
        decoded = unquote(decoded)
    steps = {each.partition(";")[0].strip() for each in re.split(r"[/\\]", decoded)}
    if not value or steps & {".", ".."} or _CONTROL.search(decoded):
        raise PermanentError(f"{name} {value[:80]!r} cannot stand in a path.")
    return quote(value, safe="")


def _header(name: str, value: str) -> str:
    if value and not SAFE_HEADER.fullmatch(value):
        raise PermanentError(f"{name} holds characters that cannot stand in a header.")
    return value


def _content(response: httpx2.Response, ends_at: float) -> Any:
    """What was answered.

    Raises:
        ValueError: It is too large, or neither JSON nor text.
    """
    content = _read(response, ends_at)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES:,} bytes: ask for less.")
    if not content.strip():
        return None
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return json.loads(content)
    if kind.startswith("text/"):
        return content.decode(response.charset_encoding or "utf-8")
    raise ValueError(f"it is {kind or 'of no stated type'}, not JSON.")


def _read(response: httpx2.Response, ends_at: float) -> bytes:
    """Read an answer, and a little more than is allowed: its length tells that it is too large.

    Raises:
        httpx2.HTTPError: The connection broke, or drips on beyond the tool's time.
    """
    content = bytearray()
    for part in response.iter_bytes():
        content += part
        if len(content) > _MOST_BYTES:
            break
        if time.monotonic() > ends_at:
            raise httpx2.ReadTimeout("the answer took too long", request=response.request)
    return bytes(content)


def _reason(response: httpx2.Response, ends_at: float) -> str:
    """What the service says about its no, in one short line. It is text from outside."""
    try:
        said = json.loads(_read(response, ends_at))
    except (ValueError, RecursionError, httpx2.HTTPError):
        return "it gave no reason."
    for key in ("detail", "message", "title", "error"):
        if isinstance(said, dict) and isinstance(said.get(key), str):
            return one_line(said[key], _REASON_CHARACTERS)
    return "it gave no reason."
