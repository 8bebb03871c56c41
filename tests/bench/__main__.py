"""Measures the fleet beside a bare Celery task on the same servers; prints `name: value unit`.

Both sides make one model call of 500 ms a task, with 100 slots in one process.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.bare_celery import app as bare_app
from fleet_contracts.envelope import build_envelope
from fleet_workers.agents import load_release
from fleet_workers.controller.conversation import build_messages, build_tools
from fleet_workers.controller.situation import Situation
from fleet_workers.store.tables import tasks
from support.fleet_processes import running_fleet
from support.stacks import Stack, open_stack

TASKS = int(os.environ.get("TASKS", "2000"))
DELAY_SECONDS = 0.5
SLOTS = 100
AGENTS = Path(__file__).parent / "agents"
_LIMIT_SECONDS = 300


def main() -> None:
    """Run both sides, one after the other, twice, and print the better run of each."""
    with open_stack("rabbitmq") as stack, model_stub() as model_url:
        fleet = [measure_fleet(stack, model_url) for _ in range(2)]
        bare = [measure_bare(stack, model_url) for _ in range(2)]
    fleet_rate, fleet_cpu = max(fleet)
    bare_rate, bare_cpu = max(bare)
    print(f"fleet.tasks_per_second: {fleet_rate:.0f} tasks/s")
    print(f"fleet.processor_per_task: {fleet_cpu:.1f} ms")
    print(f"bare_celery.tasks_per_second: {bare_rate:.0f} tasks/s")
    print(f"bare_celery.processor_per_task: {bare_cpu:.1f} ms")
    print(f"ratio.tasks_per_second: {fleet_rate / bare_rate:.2f} fleet/bare")
    print(f"ratio.processor_per_task: {fleet_cpu / bare_cpu:.2f} fleet/bare")


def measure_fleet(stack: Stack, model_url: str) -> tuple[float, float]:
    """Tasks a second, and processor time a task in ms, of one worker process."""
    environment = {
        "OPENAI_BASE_URL": f"{model_url}/v1",
        "FLEET_AGENTS_PATH": str(AGENTS),
        "FLEET_LOG_LEVEL": "WARNING",
        "FLEET_LEASE": "PT30S",
        "FLEET_LEASE_RENEWAL": "PT5S",
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        running_fleet(stack, Path(folder), environment) as fleet,
    ):
        worker = fleet.start_worker("bench", slots=SLOTS)
        fleet.wait_ready()
        before = finished(stack)
        with fleet.client() as client:
            process = psutil.Process(worker.process.pid)
            used, begun = processor_seconds(process), time.monotonic()
            for result in client.submit_many(
                {"text": "How are you?", "agent": "bench", "tenant": "acme"} for _ in range(TASKS)
            ):
                assert result.error is None, result.error
            wait_for(lambda: finished(stack) - before >= TASKS)
            seconds = time.monotonic() - begun
        return TASKS / seconds, (processor_seconds(process) - used) / TASKS * 1000


def measure_bare(stack: Stack, model_url: str) -> tuple[float, float]:
    """The same of a bare Celery worker."""
    environment = {
        **os.environ,
        "BARE_BROKER_URL": stack.broker_url,
        "OPENAI_BASE_URL": f"{model_url}/v1",
        "OPENAI_API_KEY": "any",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    options = ["-P", "threads", "-c", str(SLOTS), "-l", "WARNING", "-E"]
    bare_app.conf.broker_url = stack.broker_url
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "bench.bare_celery", "worker", *options],
        env=environment,
    )
    try:
        with bare_app.connection() as connection:
            queue = bare_app.amqp.queues["bare_bench"](connection.default_channel)
            queue.declare()
            messages, tools = same_question()
            process = psutil.Process(worker.pid)
            bare_app.send_task("bare.ask", [messages, tools])
            time.sleep(5)  # both sides are measured warm
            used, begun = processor_seconds(process), time.monotonic()
            for _ in range(TASKS):
                bare_app.send_task("bare.ask", [messages, tools])
            wait_for(lambda: queue.queue_declare(passive=True).message_count == 0)
            time.sleep(DELAY_SECONDS)
            seconds = time.monotonic() - begun
            cpu_seconds = processor_seconds(process) - used
            queue.delete()
        return TASKS / seconds, cpu_seconds / TASKS * 1000
    finally:
        worker.kill()
        worker.wait()


def same_question() -> tuple[list[object], list[object]]:
    """What the fleet asks the model for such a task."""
    release = load_release(AGENTS / "bench")
    envelope = build_envelope(tenant="acme", agent="bench", input="How are you?")
    situation = Situation(release=release, envelope=envelope, steps=())
    return list(build_messages(situation)), list(build_tools(release))


def finished(stack: Stack) -> int:
    """Number of tasks that have succeeded."""
    with stack.engine.begin() as connection:
        return connection.execute(
            select(func.count()).select_from(tasks).where(tasks.c.state == "succeeded")
        ).scalar_one()


def processor_seconds(process: psutil.Process) -> float:
    """User and system time that a process and its children have used."""
    everyone = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in everyone)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds, but not for ever."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not done after {_LIMIT_SECONDS} s.")
        time.sleep(0.1)


@contextmanager
def model_stub() -> Iterator[str]:
    """The stub as a process of its own; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stub = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).parent / "model_stub.py"),
            str(port),
            str(DELAY_SECONDS),
        ]
    )
    try:
        time.sleep(2)
        yield f"http://127.0.0.1:{port}"
    finally:
        stub.kill()
        stub.wait()


if __name__ == "__main__":
    main()
