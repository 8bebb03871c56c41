"""`fleetctl`: what operators type. One file a group of commands.

Each command imports what it runs: a worker needs no web framework, and a list no model client.
"""

import os
import sys

import typer

from fleet_contracts.errors import FleetError
from fleet_workers.cli import (
    accounts,
    agents,
    audit,
    dead_letters,
    imports,
    processes,
    replays,
    reviews,
    rights,
    spend,
    store,
    tools,
)
from fleet_workers.cli.local_fleet import adopt_local_fleet

cli = typer.Typer(help="Operate an Agent Fleet.", no_args_is_help=True, add_completion=False)
cli.add_typer(processes.commands)
agents.commands.command("import")(imports.import_tools)
cli.add_typer(agents.commands, name="agents")
cli.add_typer(tools.commands, name="tools")
cli.add_typer(rights.commands, name="rights")
cli.command("spend")(spend.show_spend)
cli.add_typer(store.commands, name="db")
cli.add_typer(accounts.tenant_commands, name="tenants")
cli.add_typer(accounts.key_commands, name="keys")
cli.add_typer(reviews.commands, name="reviews")
dead_letters.commands.command("replay")(replays.replay_dead_letters)
cli.add_typer(dead_letters.commands, name="dead")
cli.add_typer(audit.commands, name="audit")


def main() -> None:
    """Run a command; an error of the fleet is one line on standard error and exit code 1."""
    try:
        adopt_local_fleet(sys.argv[1:], os.environ)
        cli()
    except FleetError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 the command line's own output
        sys.exit(1)
