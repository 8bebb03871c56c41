"""The sandbox business, but slow where it is asked to be: it works on after its caller has died.

`python slow_business.py --port 8000 --database FILE`. A write whose text says so is begun at once
and done some seconds later, once for each task, as behind a proxy or a queue.
"""

import argparse
import asyncio
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chaos.scenarios import SLOW_SECONDS, SLOW_WORD, read_tags
from fleet_workers.embedded.business.app import create_app


class Slowness:
    """The ASGI layer that lets the first slow write of each task wait before it is done."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._seen: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; whether the caller still waits makes no difference."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        ref = read_tags(body.decode()).get("task", "")
        if SLOW_WORD in body.decode() and ref not in self._seen:
            self._seen.add(ref)
            await asyncio.sleep(SLOW_SECONDS)
        await self._app(scope, _given(body), send)


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


def _given(body: bytes) -> Receive:
    async def give() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return give


def main() -> None:
    """Serve on the loopback interface until the process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True)
    arguments = parser.parse_args()
    app = Slowness(create_app(arguments.database))
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", lifespan="on")


if __name__ == "__main__":
    main()
