"""Runs one claimed task in a process of its own: if it kills that process, nothing else suffers.

The processes come from a fork server: a process without threads that has imported everything
once, and from which each is forked within milliseconds.
"""

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.context import ForkServerProcess
from threading import BoundedSemaphore, Event, Thread

import structlog

from fleet_contracts.envelope import parse_envelope
from fleet_contracts.errors import FleetError
from fleet_workers.controller.execution import Apart
from fleet_workers.rails.personal_data import mask_text
from fleet_workers.settings import load_settings
from fleet_workers.store import views
from fleet_workers.store.claims import Claim
from fleet_workers.store.engine import store_errors
from fleet_workers.telemetry.process import start_telemetry
from fleet_workers.telemetry.run_scope import RunScope, working_on
from fleet_workers.telemetry.traces import stop_traces
from fleet_workers.wiring import open_core, open_worker

log = structlog.get_logger()

_PROCESSES = 4  # at a time: each has connections of its own, and may take all of a core
_room = BoundedSemaphore(_PROCESSES)
_LATER = 75  # sysexits.h, EX_TEMPFAIL
_OUTCOMES = {0: Apart.ENDED, _LATER: Apart.NO_ROOM}
_LOOK_SECONDS = 0.2
_LONGEST_SECONDS = 15 * 60.0  # far over any task's own limits: a process that hangs is ended

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])


def run_apart(claim: Claim, draining: Event) -> Apart:
    """Work on a claimed task in a new process and wait for its end, where there is room for one.

    The process ends with this one.
    """
    if not _room.acquire(blocking=False):
        return Apart.NO_ROOM
    try:
        process = _forks.Process(target=_main, args=(claim,), daemon=True)
        process.start()
        return _OUTCOMES.get(_wait(process, draining), Apart.DIED)
    finally:
        _room.release()


def _wait(process: ForkServerProcess, draining: Event) -> int:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while process.exitcode is None:
        process.join(_LOOK_SECONDS)
        if time.monotonic() > deadline:
            process.kill()
        elif draining.is_set():
            process.terminate()
    return process.exitcode


def _main(claim: Claim) -> None:
    """What the new process does: work on the task that its parent claimed."""
    Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        _work(claim)
    except FleetError as error:  # not the task's doing: the store or a setting
        log.warning("task.own_process_failed", error=str(error))
        sys.exit(_LATER)
    finally:
        stop_traces()  # a process of this kind ends without what others do at their end


def _work(claim: Claim) -> None:
    settings = load_settings()
    start_telemetry(settings, "worker", mask=mask_text)
    with (
        open_core(settings, application=f"task {claim.task_id}", ping=False) as core,
        open_worker(core) as parts,
    ):
        signal.signal(signal.SIGTERM, lambda *_: parts.draining.set())
        with store_errors(), core.engine.connect() as connection:
            envelope = views.envelope_of(connection, claim.task_id)
        task = parse_envelope(envelope)
        with working_on(RunScope(task=str(task.id), tenant=task.tenant, words=task.input)):
            parts.executor.work(claim, task, since=time.monotonic())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
