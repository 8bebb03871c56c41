"""`fleetctl broker`: what the broker is told."""

import json

import typer

from fleet_workers.settings import load_settings

commands = typer.Typer(help="What the broker is told.", no_args_is_help=True)


@commands.command("definitions")
def print_definitions() -> None:
    """Print the queues of the installed agents for RabbitMQ's `load_definitions`."""
    from fleet_workers.agents import load_catalogue
    from fleet_workers.broker.definitions import broker_definitions

    agents = load_catalogue(load_settings().agents_path).names
    print(json.dumps(broker_definitions(agents), indent=2))  # noqa: T201 JSON for a file, not for a terminal
