"""What agent.toml may say about batching; without a word nothing is shared or filed."""

import pytest
from pydantic import ValidationError

from fleet_workers.agents.batching import BatchingSection
from fleet_workers.models.asked_for import BatchRules


def test_nothing_is_shared_unless_the_file_says_so() -> None:
    rules = BatchingSection().rules()
    assert (rules.most, rules.bulk) == (1, False)
    assert rules == BatchRules()


@pytest.mark.parametrize(
    "wrong", [{"most": 0}, {"most": 33}, {"longest_wait_ms": -1}, {"most_tokens": 1}, {"size": 8}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        BatchingSection.model_validate(wrong)
