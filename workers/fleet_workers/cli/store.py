"""`fleetctl db`: the store's tables."""

import typer

from fleet_workers.cli.terminal import console
from fleet_workers.settings import load_settings
from fleet_workers.store.engine import store_errors

commands = typer.Typer(help="The store's tables.", no_args_is_help=True)


@commands.command("upgrade")
def upgrade_store() -> None:
    """Create the database where it is missing, and bring its tables up to date."""
    from fleet_workers.store import migrate

    settings = load_settings()
    with store_errors():
        migrate.create_database(settings.sqlalchemy_url)
        version = migrate.upgrade(settings.sqlalchemy_url)
    console.print(f"The store is at version {version}.")
