"""What makes the suite short: work that is done once, and processes side by side (`-n auto`)."""

import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpcore2
import pytest

_MOST_PROCESSES = 6
"""Each has servers and fleets of its own: more would take more memory than time away."""


def pytest_configure() -> None:
    """Keep compiled modules: tests start hundreds of processes, each of which would compile all."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Each of hundreds of HTTP clients would read those of the machine, which takes 20 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than processors: tests of leases, limits and kills wait most of their time."""
    return min((os.cpu_count() or 1) + 1, _MOST_PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One process works through a file, or through all that runs on one stack of servers."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - needed with -n only

    class ByServers(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file.startswith("tests/integration/"):
                return "embedded" if "[embedded" in nodeid else "rabbitmq"
            return file

    # What takes longest comes first, as in the order of the files: then no process is left alone.
    config.option.loadscopereorder = False
    return ByServers(config, log)
