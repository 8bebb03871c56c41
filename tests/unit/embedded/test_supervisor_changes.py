"""Processes that join and leave a fleet that is at work."""

import signal
import threading
from pathlib import Path

import psutil

from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.supervisor import Supervisor
from support.bench import until
from support.dummies import BROKEN, STUBBORN, dummy


def started(folder: Path, lines: list[str]) -> Supervisor:
    supervisor = Supervisor(FleetFolder(folder / "fleet"), report=lines.append)
    supervisor.start(dummy(folder, "one"))
    supervisor.watch()
    return supervisor


def test_a_process_that_is_added_runs_and_is_started_again_after_a_crash(tmp_path: Path) -> None:
    lines: list[str] = []
    with started(tmp_path, lines) as supervisor:
        supervisor.add(dummy(tmp_path, "two"))
        until(lambda: supervisor.standing()["two"].is_ready, what="the second process")
        first = supervisor.pids()["two"]
        psutil.Process(first).send_signal(signal.SIGKILL)
        until(lambda: supervisor.pids().get("two", first) != first, what="its next start")
    assert "two ended unexpectedly (signal 9): it is started again" in lines


def test_a_process_that_is_retired_ends_and_is_forgotten(tmp_path: Path) -> None:
    lines: list[str] = []
    with started(tmp_path, lines) as supervisor:
        supervisor.add(dummy(tmp_path, "two"))
        until(lambda: supervisor.standing()["two"].is_ready, what="the second process")
        pid = supervisor.pids()["two"]
        supervisor.retire("two")
        until(lambda: "two" not in supervisor.standing(), what="its end")
        assert not psutil.pid_exists(pid)
        assert supervisor.standing()["one"].is_ready
        # Its name is free for another
        supervisor.add(dummy(tmp_path, "two"))
        until(lambda: supervisor.standing()["two"].is_ready, what="the next of that name")
    assert "two has ended" in lines
    assert not any("unexpectedly" in line for line in lines)
    assert supervisor.failure is None


def test_a_retired_process_that_does_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    lines: list[str] = []
    with started(tmp_path, lines) as supervisor:
        supervisor.add(dummy(tmp_path, "mule", STUBBORN, grace_seconds=0.3))
        until(lambda: supervisor.standing()["mule"].is_ready, what="the mule")
        supervisor.retire("mule")
        until(lambda: "mule" not in supervisor.standing(), what="its end")
    assert "mule did not end in time: it is killed" in lines


def test_a_spare_process_that_cannot_start_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    lines: list[str] = []
    with started(tmp_path, lines) as supervisor:
        supervisor.add(dummy(tmp_path, "broken", BROKEN, is_spare=True))
        until(lambda: any("is given up" in line for line in lines), what="the end of patience")
        until(lambda: "broken" not in supervisor.standing(), what="its end")
        assert supervisor.standing()["one"].is_ready
        assert not supervisor.stop_requested.is_set()
    assert "the disk is full" in "\n".join(lines)


def test_a_spare_process_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    lines: list[str] = []
    with started(tmp_path, lines) as supervisor:
        idle = "import time; time.sleep(60)"
        supervisor.add(dummy(tmp_path, "idle", idle, ready_within_seconds=0.3, is_spare=True))
        until(lambda: "idle" in supervisor.pids(), what="its start")
        until(lambda: "idle" not in supervisor.standing(), what="its end")
        assert supervisor.standing()["one"].is_ready


def test_processes_come_and_go_from_many_threads(tmp_path: Path) -> None:
    """A change must not be lost because another was made in the same moment."""
    with started(tmp_path, []) as supervisor:

        def come_and_go(number: int) -> None:
            for name in (f"{number}_a", f"{number}_b"):
                supervisor.add(dummy(tmp_path, name))
            supervisor.retire(f"{number}_a")

        threads = [threading.Thread(target=come_and_go, args=(each,)) for each in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        expected = {"one", *(f"{number}_b" for number in range(4))}
        until(lambda: set(supervisor.standing()) == expected, what="those that stay")
        until(lambda: set(supervisor.pids()) == expected, what="their start")
