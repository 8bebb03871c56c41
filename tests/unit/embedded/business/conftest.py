"""A sandbox business of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.business_server import running_business


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_business(tmp_path / "business.sqlite") as address:
        yield address
