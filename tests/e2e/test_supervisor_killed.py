"""However a supervisor ends, nothing that it started is left behind."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.servers.session import running_servers
from fleet_workers.embedded.supervisor import Supervisor

TESTS = Path(__file__).parents[1]

DUMMIES = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support.dummies import PARENT, STUBBORN, dummy
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.processes import Stage
from fleet_workers.embedded.supervisor import Supervisor
folder = Path(sys.argv[2])
print("starting", flush=True)
with Supervisor(FleetFolder(folder / "fleet")) as supervisor:
    supervisor.start(dummy(folder, "server", stage=Stage.SERVERS))
    supervisor.start(
        *(dummy(folder, f"pool{number}", grace_seconds=0.5) for number in range(4)),
        dummy(folder, "mule", STUBBORN, grace_seconds=0.5),
        dummy(folder, "parent", PARENT),
    )
    supervisor.watch()
    supervisor.add(dummy(folder, "added"))
    while not supervisor.standing()["added"].is_ready:
        time.sleep(0.05)
    print("started", flush=True)
    supervisor.stop_requested.wait()
"""

SERVERS = """
import sys, time
from pathlib import Path
from fleet_workers.embedded.servers.session import running_servers
print("starting", flush=True)
with running_servers(Path(sys.argv[2]) / "fleet"):
    print("started", flush=True)
    time.sleep(600)
"""


def start_program(program: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(TESTS), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MARK": str(folder)},
        start_new_session=True,
    )


def living(folder: Path) -> list[psutil.Process]:
    """Processes of a test: by the mark in their environment, or the folder they work in."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get("MARK") == str(folder)
            at_home = process.cwd().startswith(str(folder))
            if (marked or at_home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def assert_nothing_is_left(folder: Path, *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while (left := living(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


@pytest.mark.parametrize("_round", range(10))
def test_a_supervisor_killed_at_any_moment_of_its_start_leaves_nothing(
    tmp_path: Path, _round: int
) -> None:
    with start_program(DUMMIES, tmp_path) as program:
        assert program.stdout
        assert program.stdout.readline() == "starting\n"
        time.sleep(random.uniform(0, 0.6))  # noqa: S311 - any moment will do
        program.send_signal(signal.SIGKILL)
    assert_nothing_is_left(tmp_path)


def test_a_supervisor_killed_at_work_leaves_nothing_and_the_folder_is_free(tmp_path: Path) -> None:
    with start_program(DUMMIES, tmp_path) as program:
        assert program.stdout
        assert program.stdout.readlines(10) == ["starting\n", "started\n"]
        assert len(living(tmp_path)) == 11  # with the child of one, the supervisor, the watchdog
        program.send_signal(signal.SIGKILL)
    # When the next fleet starts at once, it waits for the watchdog to be done
    with Supervisor(FleetFolder(tmp_path / "fleet")):
        assert [
            process for process in living(tmp_path) if "time.sleep" in str(process.cmdline())
        ] == []
    assert_nothing_is_left(tmp_path)


def test_servers_come_back_with_their_data_after_everything_was_killed(passable: Path) -> None:
    with running_servers(passable / "fleet") as servers:
        store, broker = servers.postgres.url("postgres"), servers.valkey.url(0)
    with start_program(SERVERS, passable) as program:
        assert program.stdout
        assert program.stdout.readline() == "starting\n"
        assert program.stdout.readline() == "started\n"
        with psycopg.connect(store) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with redis.Redis.from_url(broker) as client:
            client.set("kept", "too")
        for process in living(passable):
            with contextlib.suppress(psutil.NoSuchProcess):  # a child of one that is gone already
                process.kill()
    assert_nothing_is_left(passable)
    with running_servers(passable / "fleet"):
        with psycopg.connect(store) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        with redis.Redis.from_url(broker) as client:
            assert client.get("kept") == b"too"
