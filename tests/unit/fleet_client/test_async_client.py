"""The asyncio client: the same behaviour, and an event loop that stays free."""

import asyncio
import socket
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet_client import AsyncFleetClient
from fleet_contracts import errors
from fleet_contracts.states import TaskState
from support.fleet_api_stub import Answer, FleetApiStub, Received

_ID = "0192d0c0-0000-7000-8000-000000000001"


def _view(state: str) -> dict[str, Any]:
    return {
        "id": _ID, "tenant": "acme", "agent": "billing", "requested_agent": "auto",
        "state": state, "created_at": datetime.now(tz=UTC).isoformat(),
    }  # fmt: skip


def _serve(received: Received) -> Answer:
    if received.path.endswith("/bulk"):
        results = [{"id": task["id"], "status": "accepted"} for task in received.body["tasks"]]
        return Answer(body={"results": results})
    if received.path.endswith("/journal"):
        return Answer(body={"steps": [{"seq": 1}]})
    if received.method == "POST" and not received.path.endswith("/cancel"):
        return Answer(status=202, body={"id": received.body["id"]})
    return Answer(body=_view("cancelled"), delay_seconds=0.1)


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_the_whole_interface() -> None:
    async def work(url: str) -> None:
        async with AsyncFleetClient(api_url=url) as client:
            handle = await client.submit("hello", agent="billing")
            assert (await handle.status()).state is TaskState.CANCELLED
            assert (await handle.wait(timeout=5)).settled
            assert (await handle.cancel()).settled
            assert await handle.journal() == [{"seq": 1}]
            results = await client.submit_many(["one", {"text": ""}])
            assert [result.ok for result in results] == [True, False]

    with FleetApiStub(_serve) as stub:
        _run(work(stub.url))


def test_many_waits_share_the_loop() -> None:
    async def work(url: str) -> None:
        async with AsyncFleetClient(api_url=url) as client:
            loop = asyncio.get_running_loop()
            began = loop.time()
            views = await asyncio.gather(*(client.wait(_ID, timeout=5) for _ in range(40)))
            assert len(views) == 40
            assert loop.time() - began < 3  # one after the other they would take 4 s

    with FleetApiStub(_serve) as stub:
        _run(work(stub.url))


def test_errors_are_those_of_the_sync_client() -> None:
    async def work() -> None:
        async with AsyncFleetClient(api_url="http://127.0.0.1:1") as client:
            with pytest.raises(errors.Unavailable):
                await client.submit("x")
        async with AsyncFleetClient("redis://127.0.0.1:1", tenant="acme") as client:
            with pytest.raises(errors.Unavailable):
                await client.submit("x")
            with pytest.raises(errors.ConfigurationError):
                await client.wait(_ID)

    _run(work())


def test_a_slow_broker_does_not_stop_the_loop() -> None:
    async def work(port: int) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1

        ticker = asyncio.create_task(tick())
        client = AsyncFleetClient(f"amqp://127.0.0.1:{port}", tenant="acme", timeout=0.3)
        with pytest.raises(errors.Unavailable):
            await client.submit("x")
        ticker.cancel()
        await client.close()
        assert ticks > 5

    with socket.create_server(("127.0.0.1", 0)) as listener:
        _run(work(listener.getsockname()[1]))
