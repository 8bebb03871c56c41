"""Reads the JSON bodies that FastAPI parses: as strictly as all others, and within a limit."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from fleet_workers.store.json_text import as_stored
from fleet_workers.web.bodies import parse_flat_object, read_body

MAX_JSON_BODY_BYTES = 512 * 1024
"""Twice what 20,000 characters need that are all written as escapes of surrogate pairs."""


class _JsonRequest(Request):
    """A request whose body was read: bytes, and the object that they are where they are JSON."""

    def take(self, body: bytes, found: dict[str, Any] | None) -> None:
        """Keep what FastAPI is to be given."""
        self._taken, self._found = body, found

    async def body(self) -> bytes:
        """The body as it was sent."""
        return self._taken

    async def json(self) -> Any:
        """The body's object, with texts that the store takes."""
        return self._found


class JsonRoute(APIRoute):
    """An endpoint with a small JSON object as its body, such as `router(route_class=JsonRoute)`.

    Before the endpoint is called it raises BodyTooLarge, and MalformedBody for what is no JSON
    object in UTF-8. In texts NUL becomes U+2400, as everywhere in the store.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override] # FastAPI's is a Coroutine, which nobody relies on
        """FastAPI's own handler, given the body ready read."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read_first(request: Request) -> Response:
            body = await read_body(request, limit_bytes=MAX_JSON_BODY_BYTES)
            is_json = "json" in request.headers.get("content-type", "").lower()
            checked = _JsonRequest(request.scope, request.receive)
            checked.take(body, as_stored(parse_flat_object(body)) if body and is_json else None)
            return await handle(checked)

        return read_first
