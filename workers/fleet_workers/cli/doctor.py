"""`fleetctl doctor`: looks at everything that the fleet stands on, and says what to do."""

import json
import os
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from fleet_workers.cli.terminal import console
from fleet_workers.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_workers.doctor.finding import Verdict

_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "red"}
_EXIT_CODES: Final = {"ok": 0, "warning": 0, "failed": 1}


def examine_fleet(
    as_json: Annotated[bool, typer.Option("--json", help="For programs, on one line.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit with 1 on warnings, too.")] = False,
) -> None:
    """Check every dependency, version, queue, clock, migration and right; say what to do.

    Changes nothing and sends nothing that costs. Exit code 1 where something has failed.
    """
    from fleet_workers.doctor.examination import all_checks
    from fleet_workers.doctor.rounds import examine, worst

    verdicts = examine(all_checks(load_settings(), os.environ))
    level = worst(verdicts).value
    if as_json:
        typer.echo(json.dumps({"level": level, "checks": [each.to_dict() for each in verdicts]}))
    else:
        _print(verdicts, level)
    raise typer.Exit(1 if strict and level == "warning" else _EXIT_CODES[level])


def _print(verdicts: "Sequence[Verdict]", level: str) -> None:
    group = ""
    for each in verdicts:
        if each.group != group:
            group = each.group
            console.print(Text(group, style="bold"))
        found = each.finding
        style = _STYLES[found.level.value]
        line = Text.assemble("  ", (f"{found.level.value:8}", style), f"{each.name}: {found.found}")
        console.print(line)
        if found.remedy:
            console.print(Text(f"          {found.remedy}", style="italic"))
    counts = {name: sum(v.finding.level == name for v in verdicts) for name in _STYLES}
    told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    console.print(Text(f"doctor: {told}", style=_STYLES[level]))
