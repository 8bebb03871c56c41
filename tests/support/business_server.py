"""Runs the sandbox business on a loopback port inside the test process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from fleet_workers.embedded.business.app import create_app
from support.asgi_server import serving


@contextmanager
def running_business(database: Path) -> Iterator[str]:
    """Serve on a free port; give the base URL."""
    with serving(create_app(database)) as url:
        yield url


def client_of(url: str, tenant: str = "acme", customer: str = "cus_acme_01") -> httpx2.Client:
    """An HTTP client that asks for one customer."""
    headers = {"X-Tenant": tenant, "X-Customer": customer}
    return httpx2.Client(base_url=url, headers=headers, timeout=20)
