import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.processes import Stage
from fleet_workers.embedded.supervisor import StartFailed, StopRequested, Supervisor
from support.dummies import BROKEN, PARENT, STUBBORN, WELL_BEHAVED, dummy


def eventually(condition: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_processes_run_once_started_and_none_is_left_after_the_stop(tmp_path: Path) -> None:
    with Supervisor(FleetFolder(tmp_path / "a folder")) as supervisor:
        supervisor.start(dummy(tmp_path, "one", PARENT), dummy(tmp_path, "two"))
        running = [psutil.Process(pid) for pid in supervisor.pids().values()]
        running += [child for process in running for child in process.children()]
        assert len(running) == 3
    assert eventually(lambda: not any(process.is_running() for process in running))


def test_workers_end_before_the_servers_they_write_to(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        f"    time.sleep(0.2); open({str(ends)!r}, 'a').write('NAME '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
    ) + WELL_BEHAVED
    stages = {"server": Stage.SERVERS, "web": Stage.FRONT, "pool": Stage.WORKERS}
    with Supervisor(FleetFolder(tmp_path / "fleet")) as supervisor:
        supervisor.start(
            *(
                dummy(tmp_path, name, program.replace("NAME", name), stage=stage)
                for name, stage in stages.items()
            )
        )
    assert ends.read_text().split() == ["pool", "web", "server"]


def test_a_process_that_does_not_end_in_its_grace_is_killed(tmp_path: Path) -> None:
    lines: list[str] = []
    with Supervisor(FleetFolder(tmp_path / "fleet"), report=lines.append) as supervisor:
        supervisor.start(dummy(tmp_path, "mule", STUBBORN, grace_seconds=0.3))
        pid = supervisor.pids()["mule"]
    assert not psutil.pid_exists(pid)
    assert "mule did not end in time: it is killed" in lines


def test_a_crashed_process_is_started_again(tmp_path: Path) -> None:
    lines: list[str] = []
    with Supervisor(FleetFolder(tmp_path / "fleet"), report=lines.append) as supervisor:
        supervisor.start(dummy(tmp_path, "one"))
        supervisor.watch()
        first = supervisor.pids()["one"]
        psutil.Process(first).send_signal(signal.SIGKILL)
        assert eventually(lambda: supervisor.pids().get("one", first) != first)
    assert "one ended unexpectedly (signal 9): it is started again" in lines


def test_a_process_that_cannot_start_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor(FleetFolder(tmp_path / "fleet"))
    with (
        supervisor,
        pytest.raises(StartFailed, match=r"(?s)broken ended 3 times.*the disk is full"),
    ):
        supervisor.start(dummy(tmp_path, "broken", BROKEN))


def test_a_process_that_never_becomes_ready_is_given_up(tmp_path: Path) -> None:
    supervisor = Supervisor(FleetFolder(tmp_path / "fleet"))
    idle = dummy(tmp_path, "idle", "import time; time.sleep(60)", ready_within_seconds=0.3)
    with supervisor, pytest.raises(StartFailed, match=r"idle was not ready after 0\.3 s"):
        supervisor.start(idle)


def test_the_end_may_be_asked_for_during_the_start(tmp_path: Path) -> None:
    supervisor = Supervisor(FleetFolder(tmp_path / "fleet"))
    timer = threading.Timer(0.3, supervisor.stop_requested.set)
    timer.start()
    with supervisor, pytest.raises(StopRequested):
        supervisor.start(dummy(tmp_path, "idle", "import time; time.sleep(60)"))
    timer.join()


def test_the_fleet_stops_when_its_watchdog_is_killed(tmp_path: Path) -> None:
    with Supervisor(FleetFolder(tmp_path / "fleet")) as supervisor:
        supervisor.start(dummy(tmp_path, "one"))
        supervisor.watch()
        supervisor._guard._watchdog.kill()
        assert supervisor.stop_requested.wait(5)
        assert "watchdog" in str(supervisor.failure)


def test_a_second_fleet_in_the_folder_is_refused(tmp_path: Path) -> None:
    with (
        Supervisor(FleetFolder(tmp_path / "fleet")),
        pytest.raises(ConfigurationError, match="already runs"),
    ):
        Supervisor(FleetFolder(tmp_path / "fleet"))


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for words in ("first run", "second run"):
        with Supervisor(FleetFolder(tmp_path / "fleet")) as supervisor:
            supervisor.start(
                dummy(tmp_path, "one", f"print({words!r}, flush=True)\n" + WELL_BEHAVED)
            )
    logs = tmp_path / "fleet" / "logs"
    assert eventually(lambda: "second run" in (logs / "one.log").read_text())
    assert "first run" in (logs / "one.log.old").read_text()


def test_what_a_killed_watchdog_left_is_ended_by_the_next_start(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path / "fleet")
    spec = dummy(tmp_path, "one")
    first = Supervisor(folder)
    first.start(spec)
    leftover = psutil.Process(first.pids()["one"])
    # Given a supervisor and a watchdog that both are gone, without having stopped anything
    first._guard._watchdog.kill()
    first._guard._watchdog.wait()
    folder.unlock()
    with Supervisor(FleetFolder(tmp_path / "fleet")) as second:
        threading.Timer(1, leftover.wait).start()  # its parent, this process, must reap it
        second.start(spec)
        assert second.pids()["one"] != leftover.pid
    assert not leftover.is_running()
    first.stop()
