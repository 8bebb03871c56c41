import stat
from pathlib import Path

from fleet_workers.embedded.folder import FleetFolder


def test_a_secret_stays_the_same_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path / "a folder")
    secret = folder.secret("valkey")
    assert len(secret) == 32
    assert FleetFolder(folder.path).secret("valkey") == secret
    assert stat.S_IMODE((folder.path / "valkey.secret").stat().st_mode) == 0o600


def test_what_is_remembered_is_private_and_a_damaged_file_counts_as_empty(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path)
    folder.remember("client", {"api_key": "x"})
    assert folder.recall("client") == {"api_key": "x"}
    assert stat.S_IMODE((tmp_path / "client.json").stat().st_mode) == 0o600
    (tmp_path / "client.json").write_text("[")
    assert folder.recall("client") == {}
