"""What every command has: the terminal, the settings, and the way to the store."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Column, Table
from sqlalchemy import Connection

from fleet_workers.settings import Settings, load_settings
from fleet_workers.store.engine import store_errors
from fleet_workers.telemetry.logs import configure_logs
from fleet_workers.telemetry.sentry import configure_sentry

APPLICATION = "fleetctl"
_PIPED_COLUMNS = 200  # what reads a pipe has no width, and wants whole ids
console = Console(width=None if sys.stdout.isatty() else _PIPED_COLUMNS)


def new_table(*columns: str) -> Table:
    """A table that folds what does not fit, so that an id can be copied whole."""
    return Table(*(Column(name, overflow="fold") for name in columns))


def process_settings() -> Settings:
    """The settings of a process that stays up: its logs and Sentry are set up with them."""
    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format)
    configure_sentry(settings.sentry_dsn)
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


def operator() -> str:
    """Who types, for the record."""
    try:
        return f"fleetctl: {getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return "fleetctl"
