"""Makes all checks side by side, and waits for none longer than for the others."""

import time
from collections.abc import Sequence
from threading import Thread

from fleet_contracts.errors import FleetError
from fleet_workers.doctor.finding import Check, Finding, Level, Verdict, failed

PATIENCE_SECONDS = 8.0
"""For all checks together; each has shorter waits of its own."""


def examine(
    checks: Sequence[Check], *, patience_seconds: float = PATIENCE_SECONDS
) -> list[Verdict]:
    """Make the checks; gives what they found in their order.

    A check that does not end in time has failed; its thread ends with the process.
    """
    rounds = [_Round(check) for check in checks]
    for each in rounds:
        each.start()
    ends_at = time.monotonic() + patience_seconds
    for each in rounds:
        each.join(max(0.0, ends_at - time.monotonic()))
    return [
        Verdict(group=each.check.group, name=finding.name or each.check.name, finding=finding)
        for each in rounds
        for finding in each.findings(patience_seconds)
    ]


def worst(verdicts: Sequence[Verdict]) -> Level:
    """The worst of all levels."""
    levels = {verdict.finding.level for verdict in verdicts}
    return next((each for each in (Level.FAILED, Level.WARNING) if each in levels), Level.OK)


class _Round(Thread):
    def __init__(self, check: Check) -> None:
        super().__init__(name=f"check {check.name}", daemon=True)
        self.check = check
        self._found: list[Finding] = []
        self._has_ended = False

    def run(self) -> None:
        try:
            for finding in self.check.look():
                self._found.append(finding)
        except FleetError as error:
            self._found.append(failed(str(error), self.check.remedy))
        except Exception as error:  # noqa: BLE001 a check that breaks must not hide the others
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self._found.append(failed(text, self.check.remedy))
        self._has_ended = True

    def findings(self, waited_seconds: float) -> tuple[Finding, ...]:
        if self._has_ended:
            return tuple(self._found)
        silent = failed(
            f"No answer in {waited_seconds:g} s.",
            "It takes connections and does not answer: look whether it is overloaded, stopped, or "
            "behind a firewall that drops what it gets.",
        )
        return (*self._found, silent)
