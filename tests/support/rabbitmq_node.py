"""A RabbitMQ of a test's own, with its management plugin, set up by the files in deploy/."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from support.ports import free_port

DEPLOY = Path(__file__).parents[2] / "deploy/rabbitmq"
USER = "fleet"
_PROGRAMS = Path("/usr/lib/rabbitmq/bin")  # those on the PATH change to another user first
_START_SECONDS = 90.0
_UNKNOWN_TO_3_10 = ("deprecated_features.",)


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitNode:
    """A node that answers. `api_url` is its management API, with user and password."""

    broker_url: str
    api_url: str


def users(password: str) -> dict[str, object]:
    """Definitions of the fleet's user, as the compose file and the manifests make them."""
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [{"name": USER, "password": password, "tags": ["monitoring"]}],
        "permissions": [{"user": USER, "vhost": "/", **every}],
    }


@contextlib.contextmanager
def running_node(folder: Path) -> Iterator[RabbitNode]:
    """Start a node in `folder`; skips the test where RabbitMQ is not installed, fails it on CI."""
    server = _PROGRAMS / "rabbitmq-server"
    if not server.exists():
        reason = f"{server} does not exist: install rabbitmq-server"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    password = secrets.token_hex(8)
    port, api_port = free_port(), free_port()
    environment = _prepare(folder, password=password, port=port, api_port=api_port)
    with (folder / "node.log").open("wb") as log:
        process = subprocess.Popen(
            [str(server)], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    api_url = f"http://{USER}:{password}@127.0.0.1:{api_port}/api/"
    try:
        _wait(api_url, process, folder)
        yield RabbitNode(broker_url=f"amqp://{USER}:{password}@127.0.0.1:{port}//", api_url=api_url)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _prepare(folder: Path, *, password: str, port: int, api_port: int) -> dict[str, str]:
    definitions = folder / "definitions"
    shutil.copytree(DEPLOY / "definitions", definitions)
    (definitions / "10-users.json").write_text(json.dumps(users(password)))
    shipped = (
        (DEPLOY / "rabbitmq.conf")
        .read_text()
        .replace("/etc/rabbitmq/definitions", str(definitions))
    )
    lines = [line for line in shipped.splitlines() if not line.startswith(_UNKNOWN_TO_3_10)]
    lines += [
        f"listeners.tcp.local = 127.0.0.1:{port}",
        f"management.tcp.port = {api_port}",
        "management.tcp.ip = 127.0.0.1",
    ]
    (folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
    (folder / "plugins").write_text("[rabbitmq_management].\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"fleet_{secrets.token_hex(4)}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _wait(api_url: str, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            listed = httpx2.get(f"{api_url}queues", timeout=2)
            # It answers a moment before the definitions are loaded.
            if listed.status_code == 200 and listed.json():
                return
        time.sleep(0.2)
    pytest.fail(f"RabbitMQ did not start:\n{(folder / 'node.log').read_text()[-3000:]}")
