"""How soon people look, by kind, as an agent's file says."""

from datetime import timedelta
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from fleet_contracts.outcome import ReviewKind
from fleet_contracts.reviews import ReviewPriority
from fleet_workers.agents.review_rules import KindName, ReviewRule, check_rules, place

RULES = TypeAdapter(dict[KindName, ReviewRule])


def test_every_kind_can_be_named() -> None:
    assert set(get_args(KindName)) == {"default", *(kind.value for kind in ReviewKind)}


def test_without_rules_the_fleets_hold() -> None:
    approval = place({}, ReviewKind.APPROVAL)
    assert (approval.due, approval.priority) == (timedelta(hours=4), ReviewPriority.HIGH)
    assert [each.do for each in approval.escalate] == ["raise", "remind"]
    assert place({}, ReviewKind.SAMPLED).priority is ReviewPriority.LOW


def test_a_kinds_own_rule_comes_before_the_default() -> None:
    rules = RULES.validate_python(
        {
            "default": {"group": "billing-team", "priority": "low", "skills": ["german"]},
            "approval": {"due_minutes": 5, "priority": "urgent", "skills": []},
        }
    )
    approval = place(rules, ReviewKind.APPROVAL)
    assert (approval.due, approval.priority) == (timedelta(minutes=5), ReviewPriority.URGENT)
    assert (approval.group, approval.skills) == ("billing-team", ())
    other = place(rules, ReviewKind.LOW_CONFIDENCE)
    assert (other.due, other.priority, other.skills) == (
        timedelta(hours=8),
        ReviewPriority.LOW,
        ("german",),
    )


def test_a_default_that_refuses_means_what_can_be_refused() -> None:
    rules = RULES.validate_python({"default": {"escalate": [{"do": "refuse"}]}})
    check_rules(rules)
    assert [each.do for each in place(rules, ReviewKind.APPROVAL).escalate] == ["refuse"]
    assert place(rules, ReviewKind.IN_DOUBT).escalate == ()
    with pytest.raises(ValueError, match=r"reviews\.in_doubt cannot refuse"):
        check_rules(RULES.validate_python({"in_doubt": {"escalate": [{"do": "refuse"}]}}))


@pytest.mark.parametrize(
    "rule",
    [
        {"due_minutes": 0},
        {"priority": "very"},
        {"escalate": [{"do": "hand_to"}]},
        {"escalate": [{"do": "raise", "group": "a"}]},
        {"escalate": [{"do": "raise", "after_minutes": 9}, {"do": "remind"}]},
        {"escalate": [{"do": "refuse"}, {"do": "remind"}]},
        {"unknown": 1},
    ],
)
def test_what_makes_no_sense_is_not_accepted(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RULES.validate_python({"approval": rule})
