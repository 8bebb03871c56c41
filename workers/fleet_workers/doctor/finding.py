"""What a check finds, and what a check is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is. A warning lets the fleet work; what failed does not."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of what was found and, unless all is well, one of what to do.

    `name` tells the findings of one check apart; the check's own name, where it is empty.
    """

    level: Level
    found: str
    remedy: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A look at one thing. `look` changes nothing; what it raises is a finding, too.

    `remedy` is what to do where it raises.
    """

    group: str
    name: str
    look: Callable[[], Iterable[Finding]]
    remedy: str = "Mend what the text names, then look again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A finding and the check that made it."""

    group: str
    name: str
    finding: Finding

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "group": self.group,
            "check": self.name,
            "level": self.finding.level.value,
            "found": self.finding.found,
            "remedy": self.finding.remedy or None,
        }


def ok(found: str) -> Finding:
    """All is well."""
    return Finding(level=Level.OK, found=found)


def warning(found: str, remedy: str) -> Finding:
    """The fleet works, and somebody should look."""
    return Finding(level=Level.WARNING, found=found, remedy=remedy)


def failed(found: str, remedy: str) -> Finding:
    """The fleet, or a part of it, does not work."""
    return Finding(level=Level.FAILED, found=found, remedy=remedy)
