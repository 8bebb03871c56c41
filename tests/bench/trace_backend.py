"""Whether a real backend shows one whole trace, from a service's submit to the tool's request.

The backend is Phoenix, which installs from the package index as `arize-phoenix`. It is large, so
it has an environment of its own; `PHOENIX` names its program where that is not on the PATH, or the
address of one that runs.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from bench.figures import Figure, Remark, Said
from fleet_workers.testing import answer, call
from support.ports import free_port
from support.stacks import open_stack
from support.traced_fleet import TRACED, open_traced_fleet

_START_SECONDS = 240.0  # it makes its database first
_SPANS_SECONDS = 60.0
_EXPECTED = {
    "checkout",
    f"send agent.{TRACED}",
    f"process agent.{TRACED}",
    f"invoke_agent {TRACED}",
    "plan",
    "chat scripted",
    "execute_tool track_parcel",
}


def measure() -> Iterator[Said]:
    """Send a task through a fleet that traces to Phoenix, and ask Phoenix for its trace."""
    program = os.environ.get("PHOENIX") or shutil.which("phoenix") or ""
    runs = program.startswith("http")
    if not runs and not Path(program).is_file():
        yield Remark(
            text="traces: Phoenix is not here. Install it apart: python3 -m venv /tmp/phoenix && "
            "/tmp/phoenix/bin/pip install arize-phoenix, and set PHOENIX=/tmp/phoenix/bin/phoenix"
        )
        return
    with (
        TemporaryDirectory() as folder,
        contextlib.nullcontext(program) if runs else _phoenix(program, Path(folder)) as url,
    ):
        for name in ("embedded", "rabbitmq"):
            yield from _one_task(name, Path(folder) / name, url)


def _one_task(stack_name: str, folder: Path, url: str) -> Iterator[Said]:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    with (
        open_stack(stack_name) as stack,
        open_traced_fleet(stack, folder, environment) as fleet,
    ):
        fleet.collector.url = url
        order = f"ord_{secrets.randbelow(10**6)}"
        text = fleet.script(call("track_parcel", order_id=order), answer("In Lyon."))
        begun = time.monotonic()
        fleet.produce({"text": text, "agent": TRACED, "over_broker": True})
        _, trace, *_ = _until(lambda: fleet.shop.traces.get(order))[0].split("-")
        spans = _whole_trace(url, trace)
        seconds = time.monotonic() - begun
    yield from _figures(stack_name, spans, seconds)


def _figures(stack: str, spans: list[dict[str, Any]], seconds: float) -> Iterator[Said]:
    ids = {each["context"]["span_id"] for each in spans}
    roots = [each for each in spans if each.get("parent_id") is None]
    orphans = [each for each in spans if each.get("parent_id") not in {None, *ids}]
    missing = _EXPECTED - {each["name"] for each in spans}
    yield Figure(name=f"traces.{stack}.spans", value=len(spans), unit="spans")
    yield Figure(name=f"traces.{stack}.roots", value=len(roots), unit="spans")
    yield Figure(name=f"traces.{stack}.orphans", value=len(orphans), unit="spans")
    yield Figure(name=f"traces.{stack}.missing_names", value=len(missing), unit="names")
    yield Figure(name=f"traces.{stack}.submit_to_whole_trace", value=seconds, unit="s")
    for line in _drawn(spans, None, 0):
        yield Remark(text=line)


def _drawn(spans: list[dict[str, Any]], parent: str | None, depth: int) -> Iterator[str]:
    children = [each for each in spans if each.get("parent_id") == parent]
    for each in sorted(children, key=lambda span: str(span["start_time"])):
        yield f"{'  ' * depth}{each['name']}"
        yield from _drawn(spans, each["context"]["span_id"], depth + 1)


def _whole_trace(url: str, trace: str) -> list[dict[str, Any]]:
    """The trace's spans, once all that are expected have come."""

    def ask() -> list[dict[str, Any]] | None:
        told = httpx2.get(f"{url}/v1/projects/default/spans", params={"limit": 1000}, timeout=20)
        if told.status_code != httpx2.codes.OK:
            return None
        spans = [each for each in told.json()["data"] if each["context"]["trace_id"] == trace]
        return spans if {each["name"] for each in spans} >= _EXPECTED else None

    return _until(ask, seconds=_SPANS_SECONDS)


def _until(ask: Any, *, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Nothing came within {seconds:g} s.")
        time.sleep(0.2)
    return found


@contextlib.contextmanager
def _phoenix(program: str, folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "phoenix.log").open("wb") as log:
        process = subprocess.Popen(
            (program, "serve"),
            env={
                **os.environ,
                "PHOENIX_WORKING_DIR": str(folder / "phoenix"),
                "PHOENIX_HOST": "127.0.0.1",
                "PHOENIX_PORT": str(port),
                "PHOENIX_GRPC_PORT": str(free_port()),
                "PHOENIX_TELEMETRY_ENABLED": "false",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _until(lambda: _answers(url), seconds=_START_SECONDS)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False
