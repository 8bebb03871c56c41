"""What an answer claims: sums, days, numbers and deeds that stand somewhere, and that do not."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.rails.amounts import money_in, readings
from fleet_workers.rails.deeds import Deeds, undone_claims, write_words
from fleet_workers.rails.grounding import ungrounded_claims

RECORDS = [
    (
        '{"payments": [{"payment_id": "pay_3041", "amount_usd": "1250.00", "paid_on": "2026-06-03",'
        ' "card": "visa ending 4459"}, {"payment_id": "pay_3042", "amount_usd": "49.00",'
        ' "paid_at": "2026-07-01T08:15:00Z"}, {"payment_id": "pay_3043", "amount_cents": 1999}],'
        ' "order": "W2378156", "tracking": "1Z999AA10123456784", "discount_percent": 15,'
        ' "help": "https://help.acme.example/articles/12", "contact": "billing@acme.example",'
        ' "phone": "+49 30 901820"}'
    )
]
ASKED = ["I ordered #55120 for forty dollars. Can I pay by tomorrow, or by May 26th?"]
TODAY = date(2026, 11, 24)


def loose(answer: str) -> list[str]:
    return ungrounded_claims(answer, known=RECORDS, asked=ASKED, today=TODAY)


@pytest.mark.parametrize(
    "answer",
    [
        "You paid $1,250.00 on June 3, 2026.",
        "You paid 1.250,00 € on 3 June.",
        "You paid 1 250 dollars (pay_3041).",
        "You paid USD 1,250 and forty-nine dollars.",
        "That is $1.25k.",
        "Together that is $1,299.00.",
        "Two payments of $49 make $98.00.",
        "The three payments make $1,318.99.",
        "The small one was $19.99, that is 1999 cents.",
        "Your order for $40, number 55120, is on its way.",
        "It was paid on 07/01/2026, a Wednesday.",
        "Am 3. Juni 2026 haben Sie bezahlt.",
        "El 1 de julio de 2026 pagó 49,00 €.",
        "You have a 15% discount, which is 100% yours.",
        "Your order #W2378156 has the tracking number 1Z999AA10123456784.",
        "Write to billing@acme.example or see https://help.acme.example/articles/12.",
        "Call us: +49 30 901820.",
        "Pay by Wednesday, or by 25 November.",
        "You can pay until May 26.",
        "It is open Monday to Friday, from Monday through Friday, 24/7.",
        "Use UTF-8, SHA-256 and Wi-Fi 6; COVID-19 has ended; ISO-8601 is fine.",
        "Press Ctrl-Alt-Del, then F5, and take steps 1-3.",
        "Your card ends in 4459.",
        "1. Log in. 2. Open Settings. 3. Choose Billing.",
        "We are in the top-10 since mid-2024.",
    ],
)
def test_what_stands_somewhere_is_no_doubt(answer: str) -> None:
    assert loose(answer) == []


@pytest.mark.parametrize(
    ("answer", "claim"),
    [
        ("You paid $1,251.00.", "$1,251.00"),
        ("You get 12,50 € back.", "12,50 €"),
        ("You get fifty-nine dollars.", "fifty-nine dollars"),
        ("You get $3041 back.", "$3041"),
        ("You get $2026 back.", "$2026"),
        ("You get CHF 77.", "CHF 77"),
        ("You get £1.5 million.", "£1.5 million"),
        ("Total: 88.10", "Total: 88.10"),
        ("That is 20 % off.", "20 %"),
        ("That is 20 percent off.", "20 percent"),
        ("You paid on June 4.", "June 4"),
        ("You paid on 2026-06-13.", "2026-06-13"),
        ("You paid on 13.06.26.", "13.06.2026"),
        ("It comes on Saturday.", "Saturday"),
        ("Your invoice is inv_9999.", "inv_9999"),
        ("Your order number is 55121.", "55121"),
        ("Order 5512 is #5512.", "5512"),
        ("The tracking number is 1Z999AA10123456785.", "1Z999AA10123456785"),
        ("The reference is 237815.", "237815"),
        ("See https://help.acme.example/articles/13.", "https://help.acme.example/articles/13"),
        ("See www.acme-refunds.com/now", "www.acme-refunds.com/now"),
        ("Go to acme-refunds.com today.", "acme-refunds.com"),
        ("Write to refunds@acme.example.", "refunds@acme.example"),
        ("Call +49 30 901821.", "+49 30 901821"),
    ],
)
def test_what_stands_nowhere_is_named(answer: str, claim: str) -> None:
    assert claim in loose(answer)


def test_instructions_support_prices_but_no_example_of_an_id_or_a_day() -> None:
    prompt = ["Shipping costs $5. An invoice is named inv_2041, of June 9."]
    answer = "Shipping costs $5. Yours is inv_2041, of June 9."
    assert ungrounded_claims(answer, known=(), guidance=prompt) == ["June 9", "inv_2041"]


@given(st.decimals(min_value=1, max_value=999_999, places=2))
def test_a_sum_is_the_same_however_it_is_written(value: Decimal) -> None:
    american = f"{value:,.2f}"
    german = american.translate(str.maketrans(",.", ".,"))
    swiss = american.replace(",", "’")  # noqa: RUF001 the Swiss mark of thousands
    for written in (f"${american}", f"{german} €", f"CHF {swiss}", f"{american} dollars"):
        claims = money_in(f"You paid {written}.")
        assert [value in each.values for each in claims] == [True], written
    assert ungrounded_claims(f"It is ${american}.", known=[f'{{"amount": {value}}}']) == []


@given(st.integers(0, 10_000_000), st.text(max_size=80))
def test_any_text_is_read(number: int, around: str) -> None:
    assert readings(f"{number:,}") >= {Decimal(number)}
    for claim in ungrounded_claims(f"{around} ${number} {around}", known=[around]):
        assert claim


REFUND = Deeds(writes=(write_words(["refund_payment", '{"refund_id": "rf_1"}']),))
RECORD = Deeds(records=write_words(['{"status": "cancelled", "refunded_usd": "49.00"}']))


@pytest.mark.parametrize(
    "answer",
    [
        "I have refunded you.",
        "I've just issued a full refund.",
        "We've processed your refund.",
        "I refunded the second payment.",
        "Your refund has been issued.",
        "The payment of June 3 has been refunded.",
        "I could not find the first one, so I have refunded the second.",
        "When I looked, I saw it twice, and I have refunded one.",
    ],
)
def test_what_was_done_needs_a_write_of_its_kind(answer: str) -> None:
    assert undone_claims(answer, Deeds())
    assert undone_claims(answer, Deeds(writes=(write_words(["change_plan"]),)))
    assert undone_claims(answer, REFUND) == []


@pytest.mark.parametrize(
    "answer",
    [
        "I have cancelled your order.",
        "I've gone ahead and cancelled it.",
        "Your order is cancelled.",
        "Your subscription has now been cancelled.",
        "We have upgraded your plan.",
        "I have sent you a reset link.",
        "I've booked the session for you.",
        "I have escalated this to our engineers.",
        "I have done this for you: open incident.",
        "Your address has been updated.",
        "I have added a credit to your account.",
        "Your appointment has been confirmed.",
    ],
)
def test_a_write_of_another_kind_supports_nothing(answer: str) -> None:
    assert undone_claims(answer, Deeds())
    found = undone_claims(answer, REFUND)
    assert found or answer.startswith("I have done this")


@pytest.mark.parametrize(
    "answer",
    [
        "I have not refunded anything.",
        "Nothing has been refunded.",
        "If your order has been cancelled, write to us.",
        "Once your refund has been issued, it takes days.",
        "Has your order been cancelled?",
        "Please check whether your address has been updated.",
        "You can have your plan changed in Settings.",
        "No refund has been issued.",
        "I looked (list payments) and found nothing.",
        "We updated our terms in May.",
        "Refunds are processed by our billing team.",
        "I would have cancelled it, but it is shipped already.",
        "Save the changes and confirm that the address has been successfully updated.",
    ],
)
def test_what_is_denied_open_or_general_is_no_claim(answer: str) -> None:
    assert undone_claims(answer, Deeds()) == []


def test_a_state_may_stand_in_a_record_and_an_own_deed_may_not() -> None:
    assert undone_claims("Your order is cancelled. It has been refunded.", RECORD) == []
    assert undone_claims("I have cancelled your order.", RECORD) == ["I have cancelled"]
