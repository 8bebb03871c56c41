"""`fleetctl db`: the store's tables."""

import time
from typing import Annotated

import typer
from sqlalchemy import Engine

from fleet_contracts.errors import ConfigurationError, Unavailable
from fleet_workers.cli.terminal import console
from fleet_workers.settings import load_settings
from fleet_workers.store.engine import store_errors

commands = typer.Typer(help="The store's tables.", no_args_is_help=True)

_LOOK_SECONDS = 1.0


@commands.command("upgrade")
def upgrade_store() -> None:
    """Create the database where it is missing, and bring its tables up to date."""
    from fleet_workers.store import migrate

    settings = load_settings()
    with store_errors():
        migrate.create_database(settings.sqlalchemy_url)
        version = migrate.upgrade(settings.sqlalchemy_url)
    console.print(f"The store is at version {version}.")


@commands.command("wait")
def wait_for_store(
    seconds: Annotated[float, typer.Option(help="Give up after this.", min=0)] = 600,
) -> None:
    """Wait until the store answers and this code can work on its tables; it changes nothing."""
    from fleet_workers.store.engine import open_engine

    engine = open_engine(load_settings().sqlalchemy_url, connections=1, application="fleetctl")
    try:
        _wait(engine, deadline=time.monotonic() + seconds)
    finally:
        engine.dispose()
    console.print("The store is ready.")


def _wait(engine: Engine, *, deadline: float) -> None:
    from fleet_workers.store.version import check_version

    told = ""
    while True:
        try:
            with store_errors(), engine.connect() as connection:
                check_version(connection)
        except (ConfigurationError, Unavailable) as error:
            if time.monotonic() >= deadline:
                raise
            if str(error) != told:
                told = str(error)
                console.print(f"waiting: {told}")
            time.sleep(_LOOK_SECONDS)
        else:
            return
