"""Runs the sandbox business on a loopback port inside the test process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import uvicorn

from fleet_workers.embedded.business.app import create_app


@contextmanager
def running_business(database: Path) -> Iterator[str]:
    """Serve on a free port; give the base URL."""
    config = uvicorn.Config(create_app(database), log_level="critical", ws="none", lifespan="on")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the sandbox business did not start"
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def client_of(url: str, tenant: str = "acme", customer: str = "cus_acme_01") -> httpx2.Client:
    """An HTTP client that asks for one customer."""
    headers = {"X-Tenant": tenant, "X-Customer": customer}
    return httpx2.Client(base_url=url, headers=headers, timeout=20)
