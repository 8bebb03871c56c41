"""Checks of the process itself: Python, packages, variables, limits."""

import difflib
import os
import re
import resource
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.requirements import Requirement

from fleet_workers.doctor.finding import Check, Finding, failed, ok, warning
from fleet_workers.settings import Settings

DISTRIBUTIONS = ("agent-fleet-client", "agent-fleet-workers")
_OLDEST_PYTHON = (3, 11)
_FEWEST_FILES = 1024
_FOREIGN = re.compile(r"FLEET_(?:TEST_|BUSINESS_|CLIENT_)")
_CLIENT = ("FLEET_API_URL", "FLEET_API_KEY", "FLEET_TENANT")
"""What callers are told; on an operator's machine both may be set."""


def machine_checks(environment: Mapping[str, str]) -> list[Check]:
    """The checks; `environment` is where the settings come from."""
    return [
        Check(group="machine", name="python", look=_python),
        Check(group="machine", name="packages", look=_packages),
        Check(group="machine", name="variables", look=lambda: _variables(environment)),
        Check(group="machine", name="open files", look=_files),
        Check(group="machine", name="time zones", look=_zones),
    ]


def _python() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _OLDEST_PYTHON:
        yield failed(f"Python {version}.", "Install Python 3.11 or newer, and the fleet in it.")
    else:
        yield ok(f"Python {version}.")


def _packages() -> Iterator[Finding]:
    wrong = [line for name in DISTRIBUTIONS for line in _unmet(name)]
    if wrong:
        yield failed(
            f"{len(wrong)} packages are not what the fleet was tried with: {'; '.join(wrong)}.",
            "Install requirements.lock: pip install --requirement requirements.lock.",
        )
    else:
        yield ok("All packages are there, in versions that the fleet was tried with.")


def _unmet(distribution: str) -> Iterator[str]:
    try:
        wanted = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        yield f"{distribution} is not installed"
        return
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name} is missing"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} is outside {requirement.specifier}"


def _variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    known = {f"FLEET_{name.upper()}" for name in Settings.model_fields}
    unknown = [
        name
        for name in sorted(environment)
        if name.startswith("FLEET_")
        and name not in known
        and name not in _CLIENT
        and not _FOREIGN.match(name)
    ]
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        yield warning(
            f"{name} is set, and no setting of the fleet.", f"{meant}Rename it, or unset it."
        )
    if not unknown:
        number = sum(name in known for name in environment)
        yield ok(f"{number} FLEET_ variables are set, all of them known.")


def _files() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FEWEST_FILES:
        yield warning(
            f"A process may hold {soft} files and connections open.",
            f"Raise the limit to {_FEWEST_FILES} or more (ulimit -n, or LimitNOFILE).",
        )
    else:
        yield ok(f"A process may hold {soft} files and connections open.")


def _zones() -> Iterator[Finding]:
    try:
        ZoneInfo("Europe/Berlin")
    except (ZoneInfoNotFoundError, OSError):
        yield failed(
            "This machine knows no time zones.", "Install the package tzdata, of the system or pip."
        )
    else:
        yield ok(f"Time zones are known; this process runs in {os.environ.get('TZ', 'UTC')}.")
