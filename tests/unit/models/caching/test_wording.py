"""What tells two requests apart though their vectors are near."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.models.caching.wording import may_be_the_same, read_wording, stems

EXAMPLES = """
Cancel my order and refund the parcel, the delivery address of an invoice was changed, transfer
money between savings and checking account, exchange a card, order arrives quickly, track status,
my payment was declined, subscription to the newsletter, a plan, the colour of a shirt
"""
KNOWN = stems(EXAMPLES)


def same(one: str, other: str) -> bool:
    return may_be_the_same(read_wording(one, KNOWN), read_wording(other, KNOWN))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cancel order 17", "Cancel order 18"),
        ("Cancel order #A-17", "Cancel order #B-17"),
        ("Move 5 orders to 7 accounts", "Move 7 orders to 5 accounts"),
        ("Refund $1499", "Refund €1499"),
        ("Refund 1499 dollars", "Refund 1499 euros"),
        ("Refund twenty-one dollars", "Refund twenty-two dollars"),
        ("Cancel two orders", "Cancel three orders"),
        ("Cancel my order", "Don't cancel my order"),
        ("Cancel the order, not the invoice", "Cancel the invoice, not the order"),
        ("I want a refund and no exchange", "I want an exchange and no refund"),
        ("Activate my card", "Deactivate my card"),
        ("Block my card", "Unblock my card"),
        ("Subscribe to the newsletter", "Unsubscribe from the newsletter"),
        ("Change the address before delivery", "Change the address after delivery"),
        ("Transfer from savings to checking", "Transfer from checking to savings"),
        ("Transfer from savings to checking", "Transfer to savings from checking"),
        (
            "Transfer my savings to my checking account",
            "Transfer my checking to my savings account",
        ),
        ("Exchange dollars for euros", "Exchange euros for dollars"),
        ("Refund with the parcel", "Refund without the parcel"),
        ("My payment was declined today", "My payment was declined yesterday"),
        ("Cancel my Monday order", "Cancel my Tuesday order"),
        ("Track the order of Anna", "Track the order of Maria"),
        ("Track the order of anna", "Track the order of maria"),
        ("Send it from Anna to Maria", "Send it from Maria to Anna"),
        ("Track my order", "Track her order"),
        ("Cancel my order", "Cancel all my orders"),
        ("Cancel my last order", "Cancel my first order"),
        ("When does my order arrive", "Why does my order arrive"),
        ("I want to cancel my order", "I cancelled my order"),
        ("Change the address of my invoice", "Change the address of my parcel"),
        ("Bestellung stornieren", "Bestellung nicht stornieren"),
        ("取消订单", "不要取消订单"),
        ("取消取消订单", "取消订单"),
        ("Upgrade my plan", "Downgrade my plan"),
        ("Deposit money", "Withdraw money"),
        ("Refund ½ of the order", "Refund ¼ of the order"),
        ("Orders > 5 parcels", "Orders < 5 parcels"),
        ("My order 👍", "My order 👎"),
        ("Refund of 5 %", "Refund of 5"),
        ("Charge my account", "Avoid charge my account"),
    ],
)
def test_different_wishes_are_told_apart(one: str, other: str) -> None:
    assert same(one, one)
    assert not same(one, other)
    assert not same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cancel my order", "please cancel the order"),
        ("How can I cancel order 17?", "I'd like to cancel order #17."),
        ("I don't know how to track my parcel", "help me tracking my parcel"),
        ("Refund of 1499 dollars", "a refund of $1499"),
        ("I can't cancel my order", "I cannot cancel my order"),
        ("Status of the order", "show me the status of my order"),
    ],
)
def test_the_same_wish_in_other_words_is_one(one: str, other: str) -> None:
    assert same(one, other)
    assert same(other, one)


_SOME = "please cancel my the order refund invoice account is not how can do i to from parcel"
_WORDS = st.sampled_from(_SOME.split())
_SENTENCE = st.lists(_WORDS, min_size=1, max_size=8)
_MARK = st.from_regex(r"[A-Z]{0,3}-?[0-9]{1,9}", fullmatch=True)


@given(_SENTENCE, _SENTENCE, _MARK, _MARK, st.data())
def test_requests_with_different_numbers_are_never_the_same(
    one: list[str], other: list[str], mark: str, another: str, data: st.DataObject
) -> None:
    if mark.casefold() == another.casefold():
        return
    place = data.draw(st.integers(0, len(one)))
    with_mark = [*one[:place], mark, *one[place:]]
    for rest in (one, other):
        at = data.draw(st.integers(0, len(rest)))
        assert not same(" ".join(with_mark), " ".join([*rest[:at], another, *rest[at:]]))
        assert not same(" ".join(with_mark), " ".join(rest))


@given(st.text(max_size=200))
def test_any_text_is_read_and_is_like_itself(text: str) -> None:
    assert same(text, text)


@given(_SENTENCE, st.sampled_from(["not", "never", "don't", "without"]), st.data())
def test_a_negation_more_is_never_the_same(
    words: list[str], negation: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(words)))
    assert not same(" ".join(words), " ".join([*words[:place], negation, *words[place:]]))
