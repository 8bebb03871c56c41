"""Like faults have one cause, unlike ones do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.store.causes import cause_of


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("refund_order: no answer within 10 s.", "refund_order: no answer within 12.5 s."),
        (
            "Task 0199f0de-1111-7aaa-8bbb-0123456789ab is gone.",
            "Task 0199F0DE-2222-7aaa-8bbb-0123456789ac is gone.",
        ),
        ("No order ord_17.", "No order ord_99812."),
        ("No agent is called 'billing'.", "No agent is called 'shipping two'."),
        (
            "small at http://127.0.0.1:4001/v1/ cannot be reached.",
            "small at http://127.0.0.1:4002/v1/ cannot be reached.",
        ),
        ("at http://models:4001 it\n broke", "at http://models:80 it broke"),
    ],
)
def test_what_differs_by_accident_is_masked(first: str, second: str) -> None:
    assert cause_of("permanent", first) == cause_of("permanent", second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("the server answered 401.", "the server answered 503."),
        ("It doesn't fit and can't.", "It doesn't stop and can't."),
        ("No such order.", "No such parcel."),
    ],
)
def test_what_differs_in_kind_stays(first: str, second: str) -> None:
    assert cause_of("permanent", first) != cause_of("permanent", second)


def test_the_reason_is_part_of_it() -> None:
    assert cause_of("policy", "no") != cause_of("budget", "no")


@given(st.text(max_size=2000))
def test_any_text_gives_a_short_stable_cause(error: str) -> None:
    cause = cause_of("permanent", error)
    assert cause == cause_of("permanent", error)
    assert len(cause) <= 200
    assert "\n" not in cause
