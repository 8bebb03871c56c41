"""`fleetctl flower`: Flower beside the fleet."""

from typing import Annotated

import typer

from fleet_workers.cli.terminal import process_settings


def serve_flower(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5555,
) -> None:
    """Run Flower: pools, deliveries and queues, without what customers wrote."""
    process_settings()
    from fleet_workers.flower.server import run_flower

    run_flower(host=host, port=port)
