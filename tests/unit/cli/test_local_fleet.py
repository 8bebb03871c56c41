"""Operators' commands find the fleet that `make run` has started in this folder."""

import json
from pathlib import Path

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.cli.local_fleet import adopt_local_fleet

FOUND = {"FLEET_STORE_URL": "postgresql://here/fleet", "FLEET_REDIS_URL": "redis://here/1"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "operator.json"
    path.write_text(json.dumps(FOUND))
    return path


def test_a_command_without_addresses_takes_those_of_the_local_fleet(file: Path) -> None:
    environment = {"HOME": "/home/ann"}
    adopt_local_fleet(["reviews", "list"], environment, file=file)
    assert environment == {"HOME": "/home/ann", **FOUND}


@pytest.mark.parametrize("name", ["FLEET_STORE_URL", "FLEET_BROKER_URL", "FLEET_REDIS_URL"])
def test_one_address_that_is_set_keeps_all_others_away(file: Path, name: str) -> None:
    environment = {name: "elsewhere"}
    adopt_local_fleet(["reviews", "list"], environment, file=file)
    assert environment == {name: "elsewhere"}


@pytest.mark.parametrize("word", ["up", "worker", "web", "janitor"])
def test_processes_run_where_they_are_told_to(file: Path, word: str) -> None:
    environment: dict[str, str] = {}
    adopt_local_fleet([word], environment, file=file)
    adopt_local_fleet([], environment, file=file)
    assert environment == {}


def test_a_missing_file_is_no_error_and_a_broken_one_names_the_remedy(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    adopt_local_fleet(["spend"], environment, file=tmp_path / "none.json")
    assert environment == {}
    broken = tmp_path / "operator.json"
    broken.write_text("{")
    with pytest.raises(ConfigurationError, match="make run"):
        adopt_local_fleet(["spend"], environment, file=broken)
