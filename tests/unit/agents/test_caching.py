"""What agent.toml may say about the cache, and which words an agent's examples make known."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from fleet_workers.agents.caching import CacheSection, known_stems


def test_nothing_is_shared_between_requests_unless_the_file_says_so() -> None:
    rules = CacheSection().rules()
    assert rules.exact
    assert not rules.semantic
    assert rules.lifetime == timedelta(hours=24)
    assert CacheSection(semantic=True).rules().semantic
    assert not CacheSection(exact=False, semantic=True).rules().semantic
    assert not CacheSection(hours=0).rules().lifetime


@pytest.mark.parametrize(
    "wrong", [{"hours": -1}, {"hours": 9999}, {"alike_from": 0.5}, {"alike_from": 2}, {"on": True}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        CacheSection.model_validate(wrong)


def test_a_word_is_known_from_the_second_example_on() -> None:
    examples = ["Cancel my order", "Cancelling orders of Anna", "Where is the parcel, the parcel?"]
    assert known_stems(examples) == {"cancel", "order"}
