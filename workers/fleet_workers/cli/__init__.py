"""`fleetctl`: what operators type. One file a group of commands.

Each command imports what it runs: a worker needs no web framework, and a list no model client.
"""

import os
import sys

import structlog
import typer

from fleet_contracts.errors import FleetError
from fleet_workers.cli import (
    accounts,
    agents,
    audit,
    broker,
    dead_letters,
    doctor,
    erase,
    flower,
    imports,
    incident,
    limits,
    model_cache,
    models,
    people,
    pools,
    processes,
    quality,
    replays,
    retention,
    reviews,
    rights,
    routing,
    schedules,
    schemas,
    spend,
    store,
    tools,
)
from fleet_workers.cli.local_fleet import adopt_local_fleet

cli = typer.Typer(help="Operate an Agent Fleet.", no_args_is_help=True, add_completion=False)
cli.add_typer(processes.commands)
cli.command("flower")(flower.serve_flower)
agents.commands.command("import")(imports.import_tools)
agents.commands.command("route")(routing.show_route)
cli.add_typer(agents.commands, name="agents")
cli.add_typer(tools.commands, name="tools")
cli.add_typer(rights.commands, name="rights")
cli.add_typer(limits.commands, name="limits")
cli.command("pools")(pools.show_pools)
cli.command("spend")(spend.show_spend)
cli.command("quality")(quality.show_quality)
cli.command("doctor")(doctor.examine_fleet)
cli.command("incident")(incident.gather_incident)
cli.command("models")(models.show_models)
cli.add_typer(model_cache.commands, name="cache")
cli.add_typer(store.commands, name="db")
cli.command("schemas")(schemas.write_schemas)
cli.add_typer(broker.commands, name="broker")
cli.add_typer(accounts.tenant_commands, name="tenants")
cli.add_typer(accounts.key_commands, name="keys")
cli.add_typer(people.commands, name="people")
cli.add_typer(reviews.commands, name="reviews")
dead_letters.commands.command("replay")(replays.replay_dead_letters)
cli.add_typer(dead_letters.commands, name="dead")
cli.add_typer(audit.commands, name="audit")
cli.add_typer(schedules.commands, name="schedules")
cli.add_typer(retention.commands, name="retention")
cli.command("erase")(erase.erase_customer)


def main() -> None:
    """Run a command; an error of the fleet is one line on standard error and exit code 1."""
    # Standard output is for what a command says, which a program may read.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        adopt_local_fleet(sys.argv[1:], os.environ)
        cli()
    except FleetError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 the command line's own output
        sys.exit(1)
