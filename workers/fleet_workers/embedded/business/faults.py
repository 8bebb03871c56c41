"""Faults on demand: requests fail, stall, get garbage, or are done without an answer."""

import asyncio
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NEVER_FAULTY: Final = ("/faults", "/effects", "/healthz")


class Fault(BaseModel):
    """What to do to the next `times` requests (None: to all) whose path begins so.

    `error` answers `status` and does nothing. `stall` waits `seconds`, then works as usual, even
    if the caller has left. `garbage` answers 200 with text that is no JSON and does nothing.
    `drop_after` does the work and commits it, then closes the connection in the middle of the
    answer, or answers `status` where one is given.
    """

    model_config = ConfigDict(extra="forbid")

    path_prefix: str = "/"
    method: str | None = None
    kind: Literal["error", "stall", "garbage", "drop_after"]
    times: Annotated[int, Field(ge=1)] | None = 1
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    seconds: Annotated[float, Field(ge=0, le=600)] = 1.0


class FaultBox:
    """The faults that are set. Only the server's event loop touches it, so it needs no lock."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Set a fault; the oldest that fits a request is used first."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Make everything work again."""
        self._faults.clear()

    def remaining(self) -> list[Fault]:
        """The faults that are still set, `times` being what is left."""
        return list(self._faults)

    def take(self, method: str, path: str) -> Fault | None:
        """Give the fault for this request, and count it."""
        if path.startswith(_NEVER_FAULTY):
            return None
        for fault in self._faults:
            if path.startswith(fault.path_prefix) and fault.method in {None, method}:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None


class FaultInjector:
    """The ASGI layer that applies the faults of its box."""

    def __init__(self, app: ASGIApp, box: FaultBox) -> None:
        self._app = app
        self._box = box

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        fault = self._box.take(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.kind == "stall":
            read = await _read_first(receive)
            await asyncio.sleep(fault.seconds)
            await self._app(scope, read, send)
        elif fault.kind == "error":
            await _answer(send, fault.status or 503, b'{"detail": "a fault that was asked for"}')
        elif fault.kind == "garbage":
            await _answer(send, 200, b'<html><body>It works! {"id": ')
        else:
            await self._app(scope, receive, _swallow)
            if fault.status is not None:
                await _answer(send, fault.status, b'{"detail": "a fault after the work was done"}')
            else:
                await _start(send, 200, length=1000)


async def _read_first(receive: Receive) -> Receive:
    """Take the whole request in, so that it can be worked even if the caller leaves meanwhile."""
    waiting: list[Message] = []
    while not waiting or waiting[-1].get("more_body", False):
        waiting.append(await receive())

    async def give() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return give


async def _swallow(_message: Message) -> None:
    """Let the application believe that it has answered."""


async def _start(send: Send, status: int, *, length: int) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _answer(send: Send, status: int, body: bytes) -> None:
    await _start(send, status, length=len(body))
    await send({"type": "http.response.body", "body": body})


router: Final = APIRouter(prefix="/faults", tags=["faults"])


def _box(request: Request) -> FaultBox:
    box: FaultBox = request.app.state.faults
    return box


@router.post("", status_code=201)
async def add_fault(request: Request, fault: Fault) -> dict[str, list[Fault]]:
    """Set a fault; give all that are set."""
    _box(request).add(fault)
    return {"faults": _box(request).remaining()}


@router.get("")
async def list_faults(request: Request) -> dict[str, list[Fault]]:
    """Give all faults that are set."""
    return {"faults": _box(request).remaining()}


@router.delete("", status_code=204)
async def clear_faults(request: Request) -> None:
    """Make everything work again."""
    _box(request).clear()
