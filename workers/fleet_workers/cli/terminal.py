"""What every command has: the terminal, the settings, and the way to the store."""

import getpass
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.table import Column, Table
from sqlalchemy import Connection

from fleet_workers.settings import Settings, load_settings
from fleet_workers.store import accounts
from fleet_workers.store.engine import store_errors
from fleet_workers.telemetry.process import start_telemetry

APPLICATION = "fleetctl"
_PIPED_COLUMNS = 200  # what reads a pipe has no width, and wants whole ids
console = Console(width=None if sys.stdout.isatty() else _PIPED_COLUMNS)


def new_table(*columns: str) -> Table:
    """A table that folds what does not fit, so that an id can be copied whole."""
    return Table(*(Column(name, overflow="fold") for name in columns))


def moment_text(moment: datetime | None) -> str:
    """A time to the second, or a dash."""
    return "-" if moment is None else moment.isoformat(timespec="seconds")


def process_settings(process: str = APPLICATION) -> Settings:
    """The settings of a process that stays up: its logs, traces and reports are set up with them.

    `process` is what it is called there: `worker`, `web` or `janitor`.
    """
    from fleet_workers.rails.personal_data import mask_text

    settings = load_settings()
    if settings.ready_file is not None:
        # A container that was started again finds the file of the process before.
        settings.ready_file.unlink(missing_ok=True)
    start_telemetry(settings, process, mask=mask_text)
    return settings


@contextmanager
def store_transaction() -> Iterator[Connection]:
    """One transaction in the store for a command.

    Raises:
        ConfigurationError: A setting or an agent is wrong, or the store's version is another.
        Unavailable: The store is away.
    """
    from fleet_workers.wiring import open_core

    with (
        open_core(load_settings(), application=APPLICATION) as core,
        store_errors(),
        core.engine.begin() as connection,
    ):
        yield connection


def require_tenant(connection: Connection, name: str) -> None:
    """Refuse a name that no tenant has.

    Raises:
        UnknownTenant: No tenant of that name was added.
    """
    accounts.require_tenant(connection, name, remedy="see `fleetctl tenants list`")


@contextmanager
def stopped_by_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one interrupts as ever.

    For work in small turns: an exception out of the middle of a transaction or of a message that is
    being sent may be swallowed there, and the command would go on.
    """
    stopped = threading.Event()

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, former)
        stopped.set()

    former = signal.signal(signal.SIGINT, handle)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, former)


def operator() -> str:
    """Who types, for the record."""
    try:
        return f"fleetctl: {getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return "fleetctl"
