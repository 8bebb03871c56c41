"""A browser for the tests that look at the console as people do, and a folder for servers."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium of this machine, without a window.

    Ended with the file: as long as it is there, no other test can have an event loop.
    """
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        reason = f"None of {', '.join(_NAMES)} is installed: these tests look at pages in a browser"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and on CI they must.")
        pytest.skip(f"{reason}. `apt-get install chromium` brings one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder through which, under root, PostgreSQL's unprivileged user passes."""
    with tempfile.TemporaryDirectory(prefix="fleet-tests-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
