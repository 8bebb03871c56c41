"""What the image's build installs, without a Docker engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_image_holds_the_code_and_no_link_to_where_it_was_built(tmp_path: Path) -> None:
    """The very command of the build, without what it depends on; it needs the package index."""
    text = (ROOT / "deploy/Dockerfile").read_text()
    (words,) = re.findall(r"uv pip install (.+?)\n\n", text.replace("\\\n", ""), re.DOTALL)
    told = words.replace("${EXTRAS}", "").replace('"', "").split()
    dropped = {"--compile-bytecode", "--python", "/opt/fleet/bin/python"}
    kept = [word for word in told if word not in dropped]
    others = tmp_path / "others"
    lock = (ROOT / "requirements.lock").read_text()
    others.write_text("\n".join(re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE)))
    target = (
        "--excludes",
        str(others),
        "--python",
        sys.executable,
        "--target",
        str(tmp_path / "image"),
    )
    sources = tmp_path / "src"
    sources.mkdir()
    for name in ("requirements.lock", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, sources)
    for name in ("shared", "producers", "workers"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        (str(ROOT / "deploy/uv.sh"), "--directory", str(sources), "pip", "install", *target, *kept),
        capture_output=True,
        text=True,
        check=False,
    )
    if "Failed to fetch" in done.stderr and not os.environ.get("CI"):
        pytest.skip("The package index is away.")
    assert done.returncode == 0, done.stderr
    for package in ("fleet_contracts", "fleet_client", "fleet_workers"):
        assert (tmp_path / "image" / package / "__init__.py").exists(), package
    assert (tmp_path / "image/fleet_workers/store/migrations/env.py").exists()
    assert not list((tmp_path / "image").glob("*.pth"))
