"""Checks are made side by side, and none hides another."""

import threading
import time
from collections.abc import Iterator

from fleet_contracts.errors import ConfigurationError
from fleet_workers.doctor.finding import Check, Finding, Level, failed, ok, warning
from fleet_workers.doctor.rounds import examine, worst


def check(name: str, *findings: Finding, error: Exception | None = None) -> Check:
    def look() -> Iterator[Finding]:
        yield from findings
        if error is not None:
            raise error

    return Check(group="tests", name=name, look=look, remedy="Mend it.")


def test_findings_come_in_the_order_of_the_checks_with_their_names() -> None:
    named = Finding(level=Level.OK, found="Rights.", name="rights")
    verdicts = examine(
        [check("first", ok("Well."), named), check("second", warning("Old.", "New."))]
    )
    assert [(each.name, each.finding.level) for each in verdicts] == [
        ("first", "ok"),
        ("rights", "ok"),
        ("second", "warning"),
    ]
    assert worst(verdicts) is Level.WARNING
    assert verdicts[2].to_dict() == {
        "group": "tests",
        "check": "second",
        "level": "warning",
        "found": "Old.",
        "remedy": "New.",
    }


def test_what_breaks_is_a_finding_beside_what_was_found_before() -> None:
    broken = check("broken", ok("Reached."), error=ValueError("odd\nsecond line"))
    told = check("told", error=ConfigurationError("FLEET_X is wrong."))
    verdicts = examine([broken, told, check("well", ok("Well."))])
    assert [each.finding.found for each in verdicts] == [
        "Reached.",
        "ValueError: odd",
        "FLEET_X is wrong.",
        "Well.",
    ]
    assert verdicts[1].finding == failed("ValueError: odd", "Mend it.")
    assert worst(verdicts) is Level.FAILED


def test_one_that_hangs_is_told_and_holds_nobody_up() -> None:
    never = threading.Event()

    def hang() -> Iterator[Finding]:
        yield ok("Reached.")
        never.wait(60)

    begun = time.monotonic()
    verdicts = examine(
        [Check(group="tests", name="stuck", look=hang), check("well", ok("Well."))],
        patience_seconds=0.3,
    )
    assert time.monotonic() - begun < 20
    never.set()
    assert [each.finding.found for each in verdicts] == ["Reached.", "No answer in 0.3 s.", "Well."]


def test_without_trouble_all_is_well() -> None:
    assert worst(examine([check("well", ok("Well."))])) is Level.OK
    assert worst([]) is Level.OK
