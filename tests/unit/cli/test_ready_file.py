"""A process that starts is not ready because the one before it was."""

import os
from pathlib import Path

from support.fleetctl import fleetctl


def test_the_file_of_a_process_before_is_removed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FL")}
    environment = {**kept, "FLEET_READY_FILE": str(ready)}
    assert fleetctl(environment, "flower").returncode == 1  # it has no password
    assert not ready.exists()
    assert "Traceback" not in fleetctl(environment, "flower").stderr  # none to remove is no fault
