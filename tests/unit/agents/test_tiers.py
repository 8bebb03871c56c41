"""What agent.toml may say about tiers."""

from pathlib import Path
from typing import Any

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.agents.manifest import load_manifest
from fleet_workers.models.candidates import Candidate, by_tier, first_models

FILE = """
name = "clerk"
title = "Clerk"
description = "Does what a clerk does."
{top}
[scope]
handles = ["Letters"]
never = ["Parcels"]
{section}
"""


def manifest(tmp_path: Path, top: str = "", section: str = "") -> Any:
    folder = tmp_path / "clerk"
    folder.mkdir(exist_ok=True)
    text = FILE.format(top=top, section=section and f"[tiers]\n{section}")
    (folder / "agent.toml").write_text(text, encoding="utf-8")
    return load_manifest(folder)


def test_without_a_word_a_task_begins_small_and_may_climb(tmp_path: Path) -> None:
    read = manifest(tmp_path)
    assert (read.tier, read.tiers.climb, read.tiers.highest) == ("small", True, "large")
    assert read.tiers.climb_below is None


def test_the_tier_may_be_left_to_the_estimate(tmp_path: Path) -> None:
    read = manifest(tmp_path, 'tier = "auto"', 'hard_from = 0.8\nhighest = "medium"')
    assert (read.tier, read.tiers.hard_from, read.tiers.highest) == ("auto", 0.8, "medium")


@pytest.mark.parametrize(
    ("top", "section", "remedy"),
    [
        ('tier = "large"', 'highest = "medium"', "raise it"),
        ("review_below = 0.8", "climb_below = 0.7", "it cannot be lower"),
        ("", "climb_below = 1.2", "climb_below"),
        ('tier = "huge"', "", "tier"),
        ("", "climbs = true", "climbs"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, top: str, section: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        manifest(tmp_path, top, section)


def test_a_tier_without_a_model_of_its_own_is_no_tier_to_climb_to() -> None:
    found = first_models(by_tier([["s", "t"], [], ["l"]]))
    assert found == {"small": "s", "medium": "s", "large": "l"}


def test_the_models_that_ship_with_the_fleet_count_as_one() -> None:
    offline = [[f"offline-{tier}"] for tier in ("small", "medium", "large")]
    assert len(set(first_models(by_tier(offline)).values())) == 1


def test_the_same_model_at_another_endpoint_is_another() -> None:
    candidates = {"small": [Candidate(model="m")], "medium": [Candidate(model="m", endpoint="b")]}
    assert first_models(candidates)["medium"] == "m at b"
