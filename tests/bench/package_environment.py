"""Packages that the benchmarks compare with, each in an environment beside the project's own.

The project's lock never holds them.
"""

import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_UV = _ROOT / "deploy/uv.sh"


class NotInstalled(Exception):
    """The package cannot be had here: without a package index, say."""


def python_with(package: str, version: str, *, sees_project: bool = False) -> Path:
    """An interpreter that has this version of a package; installs it the first time.

    `sees_project` lets it import what the project's own environment holds, after its own.

    Raises:
        NotInstalled: The text says why.
    """
    folder = _ROOT / ".bench-venv" / package
    python = folder / "bin/python"
    if not _has_version(python, package, version):
        _run("venv", "--quiet", "--clear", str(folder))
        _run("pip", "install", "--quiet", "--python", str(python), f"{package}=={version}")
    if sees_project:
        _show_project(folder)
    return python


def _show_project(folder: Path) -> None:
    (ours,) = (_ROOT / ".venv").glob("lib/python*/site-packages")
    (theirs,) = folder.glob("lib/python*/site-packages")
    line = f"import site; site.addsitedir({str(ours)!r})\n"
    (theirs / "zz_project.pth").write_text(line, encoding="utf-8")


def _has_version(python: Path, package: str, version: str) -> bool:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    try:
        said = subprocess.run((python, "-c", code), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return said.stdout.strip() == version


def _run(*words: str) -> None:
    done = subprocess.run((_UV, *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{words[-1]} could not be installed: {done.stderr.strip()[-300:]}")
