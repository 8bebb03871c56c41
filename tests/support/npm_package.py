"""Packages of npm for tests that speak with the fleet in JavaScript."""

import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_SECONDS = 40


def npm_package(folder: Path, name: str, version: str) -> Path:
    """Install a package; gives its `node_modules`. A registry that fails skips the test."""
    for needed in ("node", "npm"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed: {name} needs it.")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    command += ["--fetch-retries=0", "--prefix", str(folder), f"{name}@{version}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {name} in {INSTALL_SECONDS} s.")
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").partition("\n")[0]
        pytest.skip(f"npm cannot install {name} {version}: {reason}")
    return folder / "node_modules"
