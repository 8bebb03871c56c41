"""Runs one claimed task in a process of its own: if it kills that process, nothing else suffers.

`python -m fleet_workers.worker.apart` reads the claim as one line of JSON from its standard input.
It ends with 0 when the task has been worked to its end, or to where it must wait, and it ends
with its parent, whose death closes that input.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from threading import BoundedSemaphore, Event, Thread
from uuid import UUID

import structlog

from fleet_contracts.envelope import parse_envelope
from fleet_contracts.errors import FleetError
from fleet_workers.controller.execution import Apart
from fleet_workers.settings import load_settings
from fleet_workers.store import views
from fleet_workers.store.claims import Claim
from fleet_workers.store.engine import store_errors
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.telemetry.sentry import configure_sentry
from fleet_workers.wiring import open_core, open_worker

log = structlog.get_logger()

_PROCESSES = 2  # at a time: each takes 110 MB, and a core while it starts
_room = BoundedSemaphore(_PROCESSES)
_LATER = 75  # sysexits.h, EX_TEMPFAIL
_OUTCOMES = {0: Apart.ENDED, _LATER: Apart.NO_ROOM}
_LOOK_SECONDS = 0.2
_LONGEST_SECONDS = 15 * 60.0  # far over any task's own limits: a process that hangs is ended


def run_apart(claim: Claim, draining: Event) -> Apart:
    """Work on a claimed task in a new process and wait for its end, where there is room for one."""
    if not _room.acquire(blocking=False):
        return Apart.NO_ROOM
    try:
        return _run(claim, draining)
    finally:
        _room.release()


def _run(claim: Claim, draining: Event) -> Apart:
    process = subprocess.Popen(  # noqa: S603 our own module
        (sys.executable, "-P", "-m", __name__), stdin=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + _LONGEST_SECONDS
    assert process.stdin is not None  # noqa: S101 it was asked for
    with contextlib.suppress(BrokenPipeError):  # it died at once: the loop below finds it so
        process.stdin.write(json.dumps({**asdict(claim), "task_id": str(claim.task_id)}) + "\n")
        process.stdin.flush()
    while process.poll() is None:
        time.sleep(_LOOK_SECONDS)
        if time.monotonic() > deadline:
            process.kill()
        elif draining.is_set():
            process.terminate()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    return _OUTCOMES.get(process.returncode, Apart.DIED)


def main() -> None:
    """Work on the task that the parent claimed."""
    try:
        _work()
    except FleetError as error:  # not the task's doing: the store or a setting
        log.warning("task.own_process_failed", error=str(error))
        sys.exit(_LATER)


def _work() -> None:
    fields = json.loads(sys.stdin.readline())
    Thread(target=_end_with_parent, name="parent", daemon=True).start()
    claim = Claim(**{**fields, "task_id": UUID(fields["task_id"])})
    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format)
    configure_sentry(settings.sentry_dsn)
    with (
        open_core(settings, application=f"task {claim.task_id}", ping=False) as core,
        open_worker(core) as parts,
    ):
        signal.signal(signal.SIGTERM, lambda *_: parts.draining.set())
        with store_errors(), core.engine.connect() as connection:
            envelope = views.envelope_of(connection, claim.task_id)
        task = parse_envelope(envelope)
        with structlog.contextvars.bound_contextvars(task=str(task.id), tenant=task.tenant):
            parts.executor.work(claim, task, since=time.monotonic())


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
