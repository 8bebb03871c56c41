"""A RabbitMQ node of the run's own, beside whatever node the machine has."""

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.ports import LOOPBACK, PortBook
from fleet_workers.embedded.processes import ProcessSpec, Stage
from fleet_workers.embedded.supervisor import Supervisor

NAME = "rabbitmq"
# The server's own script; the one on the path insists on the machine's user and node.
_PROGRAMS = "/usr/lib/rabbitmq/lib"


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitNode:
    """A node that answers; guest may sign in. Its supervisor starts it again when it ends."""

    url: str
    supervisor: Supervisor


def rabbitmq_program() -> Path | None:
    """The newest RabbitMQ that is installed, or None."""
    found = sorted(Path(_PROGRAMS).glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return found[-1] if found else None


@contextlib.contextmanager
def rabbit_node(path: Path, program: Path) -> Iterator[RabbitNode]:
    """A running node with all its files in the folder `path`, until the block ends."""
    folder = FleetFolder(path)
    ports = PortBook(folder)
    with Supervisor(folder) as supervisor:
        supervisor.start(_spec(path, program, ports))
        supervisor.watch()
        yield RabbitNode(
            url=f"amqp://guest:guest@{LOOPBACK}:{ports.port('amqp')}//", supervisor=supervisor
        )


def _spec(path: Path, program: Path, ports: PortBook) -> ProcessSpec:
    port = ports.port("amqp")
    return ProcessSpec(
        name=NAME,
        argv=(str(program),),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(path),  # where Erlang makes the node's cookie
            "RABBITMQ_NODENAME": f"fleet_chaos_{secrets.token_hex(4)}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(ports.port("distribution")),
            "RABBITMQ_MNESIA_BASE": str(path / "mnesia"),
            "RABBITMQ_LOG_BASE": str(path / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(path / "no_settings"),
            "RABBITMQ_CONF_ENV_FILE": str(path / "no_variables"),
        },
        probe=lambda: _answers(port),
        stage=Stage.SERVERS,
        grace_seconds=20.0,
        working_folder=path,
    )


def _answers(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(1)
        return caller.connect_ex((LOOPBACK, port)) == 0
