"""Where DBOS is installed: beside the project, whose own lock it never enters."""

import subprocess
from pathlib import Path

from bench.fleet_run import TESTS

VERSION = "3.4.0"
_ROOT = TESTS.parent
_FOLDER = _ROOT / ".bench-venv"
_UV = _ROOT / "deploy/uv.sh"


class NotInstalled(Exception):
    """DBOS cannot be had here: without a package index, say."""


def dbos_python() -> Path:
    """An interpreter that has this version of DBOS; installs it the first time.

    Raises:
        NotInstalled: The text says why.
    """
    python = _FOLDER / "bin/python"
    if not _has_version(python):
        _run("venv", "--quiet", "--clear", str(_FOLDER))
        _run("pip", "install", "--quiet", "--python", str(python), f"dbos=={VERSION}")
    return python


def _has_version(python: Path) -> bool:
    code = "from importlib.metadata import version; print(version('dbos'))"
    try:
        said = subprocess.run((python, "-c", code), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return said.stdout.strip() == VERSION


def _run(*words: str) -> None:
    done = subprocess.run((_UV, *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"DBOS {VERSION} could not be installed: {done.stderr.strip()[-300:]}")
