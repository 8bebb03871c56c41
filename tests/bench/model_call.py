"""The fleet beside bare Celery where each task makes one model call of half a second over HTTP."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.bare_celery import ASK
from bench.bare_run import bare_queue, bare_workers, waiting
from bench.drain import Drain, measure_drain, reach
from bench.figures import Figure, Said
from bench.fleet_run import AGENT, AGENTS, TEXT, bench_fleet, fill_queue
from bench.processor import ProcessorClock
from fleet_contracts.envelope import build_envelope
from fleet_workers.agents import load_release
from fleet_workers.controller.conversation import build_tools, hold_conversation
from fleet_workers.controller.situation import Situation
from support.ports import free_port
from support.stacks import open_stack

_TASKS = 1000
_DELAY_SECONDS = 0.5
_SLOTS = 100  # so that no side can do more than 200 tasks/s


def measure() -> Iterator[Said]:
    """One worker process on each side, the same question, the same endpoint."""
    with model_stub(_DELAY_SECONDS) as url:
        fleet = _drain_fleet(url)
        yield from fleet.figures("model_call.fleet")
        bare = _drain_celery(url)
        yield from bare.figures("model_call.bare_celery")
    unit = "fleet/bare_celery"
    rates = fleet.tasks_per_second / bare.tasks_per_second
    yield Figure(name="model_call.ratio.tasks_per_second", value=rates, unit=unit)
    processor = fleet.worker_ms / bare.worker_ms
    yield Figure(name="model_call.ratio.worker_processor", value=processor, unit=unit)


def _drain_fleet(model_url: str) -> Drain:
    with open_stack("rabbitmq") as stack:
        fill_queue(stack, _TASKS)
        with bench_fleet(stack, slots=_SLOTS, model_url=model_url) as running:
            clock = ProcessorClock(running.pids, stack.engine)
            return measure_drain(running.succeeded, total=_TASKS, clock=clock)


def _drain_celery(model_url: str) -> Drain:
    every = [ask_messages()] * _TASKS
    with open_stack("rabbitmq") as stack, bare_queue(stack, ASK, every):
        address = {"OPENAI_BASE_URL": f"{model_url}/v1"}
        with bare_workers(stack, workers=1, slots=_SLOTS, **address) as pids:
            clock = ProcessorClock(pids, None)
            return measure_drain(lambda: _TASKS - waiting(), total=_TASKS, clock=clock)


def ask_messages() -> tuple[list[Any], list[Any]]:
    """What the fleet asks the model for such a task."""
    release = load_release(AGENTS / AGENT)
    envelope = build_envelope(tenant="acme", agent=AGENT, input=TEXT)
    situation = Situation(release=release, envelope=envelope, steps=())
    return hold_conversation(situation).messages, list(build_tools(release))


@contextmanager
def model_stub(delay_seconds: float) -> Iterator[str]:
    """The endpoint as a process of its own; gives its address."""
    with serve_program("model_stub.py", str(delay_seconds)) as url:
        yield url


@contextmanager
def serve_program(name: str, *arguments: str) -> Iterator[str]:
    """A program of this folder that serves on the port that it is told; gives its address."""
    port = free_port()
    program = Path(__file__).parent / name
    stub = subprocess.Popen((sys.executable, program, str(port), *arguments))
    try:
        reach(lambda: _answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        stub.kill()
        stub.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
