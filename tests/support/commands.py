"""Whether a command line is one that fleetctl understands."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from fleet_workers.cli import cli


def assert_fleetctl(line: Sequence[str], place: str) -> None:
    """Fail where `line` names a command or an option of fleetctl's that does not exist."""
    words = [word for word in line[1:] if not word.startswith("-")]
    command = _fleetctl()
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{place}: fleetctl has no {words[0]}"
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in line if word.startswith("--")} <= options, place


@cache
def _fleetctl() -> Any:
    return typer.main.get_command(cli)
