"""The client's distribution, built and installed alone into an empty environment."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pika
import pytest

from fleet_contracts.envelope import parse_envelope
from fleet_contracts.topology import AGENTS_EXCHANGE, agent_address, agent_queue_arguments
from support.fleet_api_stub import Answer, FleetApiStub, Received
from support.servers import RABBITMQ, need

_REPOSITORY = Path(__file__).parents[2]
_FOREIGN = ("celery", "sqlalchemy", "fastapi", "openai", "fleet_workers")

# Building and installing takes a few seconds with a warm cache, and a minute without.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _find_uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=_REPOSITORY / ".uv" / "bin")
    if found is None:
        pytest.skip("uv is neither on PATH nor in .uv/bin: `make test` puts it there")
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the client's wheel in it; gives the folder of its programs."""
    uv = _find_uv()
    folder = tmp_path_factory.mktemp("client alone")
    wheels = folder / "wheels"
    _run(uv, "build", "--quiet", "--wheel", "--out-dir", wheels, _REPOSITORY)
    (wheel,) = wheels.glob("agent_fleet_client-*.whl")
    _run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    programs = folder / "venv" / "bin"
    _run(uv, "pip", "install", "--quiet", "--python", programs / "python", wheel)
    return programs


@pytest.fixture
def agent_queue() -> Iterator[tuple[str, pika.adapters.blocking_connection.BlockingChannel]]:
    """A throwaway agent's queue on RabbitMQ, as a worker declares it."""
    need("RabbitMQ")
    connection = pika.BlockingConnection(pika.URLParameters(RABBITMQ))
    agent = f"zz_client_test_{uuid4().hex[:12]}"
    queue = agent_address(agent)
    channel = connection.channel()
    channel.exchange_declare(AGENTS_EXCHANGE, "topic", durable=True)
    channel.queue_declare(queue, durable=True, arguments=agent_queue_arguments(agent))
    channel.queue_bind(queue, AGENTS_EXCHANGE, queue)
    yield agent, channel
    channel.queue_delete(queue)
    connection.close()


def test_the_environment_holds_no_worker_code(environment: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.util, json; "
        f"print(json.dumps([m for m in {_FOREIGN} if importlib.util.find_spec(m)]))"
    )
    done = _run(environment / "python", "-c", code, cwd=tmp_path)
    assert json.loads(done) == []


def test_the_types_are_shipped(environment: Path, tmp_path: Path) -> None:
    code = (
        "import fleet_client, fleet_contracts, pathlib; "
        "print(all((pathlib.Path(m.__file__).parent / 'py.typed').exists() "
        "for m in (fleet_client, fleet_contracts)))"
    )
    assert _run(environment / "python", "-c", code, cwd=tmp_path).strip() == "True"


def test_a_task_goes_to_rabbitmq(
    environment: Path,
    tmp_path: Path,
    agent_queue: tuple[str, pika.adapters.blocking_connection.BlockingChannel],
) -> None:
    agent, channel = agent_queue
    code = (
        "from fleet_client import FleetClient\n"
        f"with FleetClient({RABBITMQ!r}, tenant='acme') as client:\n"
        f"    print(client.submit('Refund 🎉', agent={agent!r}, data={{'n': 1}}).id)\n"
    )
    task_id = _run(environment / "python", "-c", code, cwd=tmp_path).strip()
    properties, body = _take(channel, agent_address(agent))
    (arguments, _, _) = json.loads(body)
    envelope = parse_envelope(arguments[0])
    assert str(envelope.id) == task_id == properties.headers["id"]
    assert (envelope.input, envelope.data, envelope.tenant) == ("Refund 🎉", {"n": 1}, "acme")
    assert properties.headers["task"] == agent_address(agent)
    assert properties.delivery_mode == 2


def test_a_task_goes_over_http_by_the_command(environment: Path, tmp_path: Path) -> None:
    def accept(received: Received) -> Answer:
        return Answer(status=202, body={"id": received.body["id"], "state": "queued"})

    with FleetApiStub(accept) as stub:
        shown = _run(
            environment / "fleet",
            *("submit", "Refund?", "--agent", "billing", "--json"),
            cwd=tmp_path,
            FLEET_API_URL=stub.url,
            FLEET_API_KEY="secret",
        )
        sent = stub.received[0]
        assert json.loads(shown)["id"] == sent.body["id"]
        assert sent.headers["authorization"] == "Bearer secret"
        assert (sent.body["input"], sent.body["agent"]) == ("Refund?", "billing")


def test_a_redis_broker_without_its_library_names_the_extra(
    environment: Path, tmp_path: Path
) -> None:
    code = (
        "from fleet_client import FleetClient\n"
        "try:\n"
        "    FleetClient('redis://127.0.0.1:1', tenant='acme').submit('x')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    shown = _run(environment / "python", "-c", code, cwd=tmp_path)
    assert shown.startswith("ConfigurationError")
    assert "agent-fleet-client[redis]" in shown


def _take(
    channel: pika.adapters.blocking_connection.BlockingChannel, queue: str
) -> tuple[pika.BasicProperties, bytes]:
    """Take one message; a quorum queue shows it a moment after the confirm."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is not None:
            return properties, body
        time.sleep(0.02)
    pytest.fail(f"no message on {queue}")


def _run(*words: object, cwd: Path | None = None, **more: str) -> str:
    """Run a program as a stranger would, without this project's own settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLEET_", "PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**kept, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
