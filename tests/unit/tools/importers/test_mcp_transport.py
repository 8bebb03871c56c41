"""What the failure of one request over HTTP becomes."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from fleet_workers.tools.importers.leash import TOO_LARGE
from fleet_workers.tools.importers.mcp_transport import (
    LOST,
    MOST_BYTES,
    NOT_SENT,
    REFUSED,
    SESSION_GONE,
    SteadyTransport,
)


class Torn(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"json'
        raise httpx2.ReadError("reset")


def _answered(status: int, content: bytes = b"", kind: str = "text/plain") -> httpx2.Response:
    return httpx2.Response(status, headers={"content-type": kind}, content=content)


def _refuse(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("refused")


def _break(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadTimeout("silent")


CASES: dict[str, tuple[Callable[[httpx2.Request], httpx2.Response], int]] = {
    "nobody listens": (_refuse, NOT_SENT),
    "no answer": (_break, LOST),
    "torn": (lambda _: httpx2.Response(200, stream=Torn()), LOST),
    "huge": (lambda _: _answered(200, b" " * (MOST_BYTES + 1)), TOO_LARGE),
    "bad credentials": (lambda _: _answered(401, b"{}", "application/json"), REFUSED),
    "too many": (lambda _: _answered(429), NOT_SENT),
    "a proxy's no": (lambda _: _answered(405), REFUSED),
    "a proxy's trouble": (lambda _: _answered(502, b"{}", "application/json"), LOST),
    "a crash": (lambda _: _answered(500, b"<h1>Sorry</h1>"), LOST),
    "another server": (lambda _: _answered(404, b"{}", "application/json"), SESSION_GONE),
}


@pytest.mark.parametrize("case", CASES)
def test_each_failure_is_the_answer_to_its_own_request(case: str) -> None:
    handler, code = CASES[case]
    response = asyncio.run(_post(handler, {"mcp-session-id": "s"}))
    assert json.loads(response.content)["error"]["code"] == code


def test_an_answer_passes_whole_also_where_it_was_packed() -> None:
    packed = gzip.compress(b'{"jsonrpc": "2.0"}')
    response = asyncio.run(
        _post(
            lambda _: httpx2.Response(
                200,
                headers={"content-type": "application/json", "content-encoding": "gzip"},
                stream=httpx2.ByteStream(packed),
            ),
            {},
        )
    )
    assert (response.status_code, response.json()) == (200, {"jsonrpc": "2.0"})


async def _post(
    handler: Callable[[httpx2.Request], httpx2.Response], headers: dict[str, str]
) -> httpx2.Response:
    steady = SteadyTransport(httpx2.MockTransport(handler))
    async with httpx2.AsyncClient(transport=steady) as client:
        return await client.post("http://shop.example/mcp", headers=headers)
