"""Personal data goes to no model, and comes back exactly where the model asks for it."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.security.injection_texts import DATA, held_out_customers
from bench.security.personal_cases import personal_cases
from fleet_workers.rails.personal_data import Masker
from fleet_workers.rails.personal_values import Kind

CARD = "4111 1111 1111 1111"
MAIL = "anna@example.com"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.EMAIL, "bob.o'neil+tag@sub.example.co.uk"),
        (Kind.EMAIL, "jörg@müller.de"),
        (Kind.EMAIL, "john [at] gmail [dot] com"),
        (Kind.CARD_NUMBER, CARD),
        (Kind.CARD_NUMBER, "378282246310005"),
        (Kind.CARD_NUMBER, "3782-822463-10005"),
        (Kind.CARD_NUMBER, "5555.5555.5555.4444"),
        (Kind.IBAN, "DE89 3704 0044 0532 0130 00"),
        (Kind.IBAN, "gb82west12345698765432"),
        (Kind.IBAN, "FR1420041010050500013M02606"),
        (Kind.SSN, "078-05-1120"),
        (Kind.NATIONAL_ID, "12345678Z"),
        (Kind.NATIONAL_ID, "X1234567L"),
        (Kind.NATIONAL_ID, "RSSMRA85T10A562S"),
        (Kind.NATIONAL_ID, "AB 12 34 56 C"),
        (Kind.NATIONAL_ID, "529.982.247-25"),
        (Kind.NATIONAL_ID, "2 55 08 14 168 025 38"),
        (Kind.NATIONAL_ID, "131052-308T"),
        (Kind.NATIONAL_ID, "811228-9874"),
        (Kind.NATIONAL_ID, "9999 4105 7058"),
        (Kind.IP_ADDRESS, "192.168.1.20"),
        (Kind.IP_ADDRESS, "2001:db8::8a2e:370:7334"),
        (Kind.PHONE, "+44 20 7946 0958"),
        (Kind.PHONE, "(202) 555-0123"),
        (Kind.PHONE, "06 12 34 56 78"),
        (Kind.PHONE, "0171/1234567"),
        (Kind.PHONE, "+49 (0)30 901820"),
        (Kind.PHONE, "0044 20 7946 0958"),
        (Kind.PHONE, "+33 (0)6 12 34 56 78"),
        (Kind.PHONE, "415\u2011555\u20110132"),
        (Kind.PHONE, "347 123 4567"),
        (Kind.EMAIL, "jane at doe dot org"),
        (Kind.CARD_NUMBER, "4111_1111_1111_1111"),
        (Kind.CARD_NUMBER, "\uff14111 1111 1111 1111"),
        (Kind.IBAN, "DE 89 3704 0044 0532 0130 00"),
        (Kind.NATIONAL_ID, "12.345.678-Z"),
        (Kind.NATIONAL_ID, "19811228-9874"),
        (Kind.IP_ADDRESS, "::ffff:192.0.2.128"),
    ],
)
@pytest.mark.parametrize("frame", ["{}", "It is {}.", "({}), please", '{{"note": "hi\\n{}"}}'])
def test_a_value_is_hidden_in_any_surrounding(kind: Kind, value: str, frame: str) -> None:
    masker = Masker()
    assert masker.mask(frame.format(value)) == frame.format(f"<{kind.name}_1>")
    assert masker.found == {kind: 1}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("call me at 2025551234", "call me at <PHONE_1>"),
        ("2025551234 is my phone number", "<PHONE_1> is my phone number"),
        ('{"phone": "07911123456"}', '{"phone": "<PHONE_1>"}'),
        ("my ssn is 123456789", "my ssn is <SSN_1>"),
        ("BSN 111222333", "BSN <NATIONAL_ID_1>"),
        ("PESEL: 44051401359", "PESEL: <NATIONAL_ID_1>"),
        ("Steuer-ID 86 095 742 719", "Steuer-ID <NATIONAL_ID_1>"),
        ("born on 3 March 1980", "born on <BIRTH_DATE_1>"),
        ("DOB: 03/04/1980", "DOB: <BIRTH_DATE_1>"),
        ("passport number is X1234567", "passport number is <PASSPORT_1>"),
        ("VISA4111111111111111exp12/26", "VISA<CARD_NUMBER_1>exp12/26"),
        ("IBANDE89370400440532013000", "IBAN<IBAN_1>"),
        ("Social: 078051120", "Social: <SSN_1>"),
        ("BSN: 111.222.333", "BSN: <NATIONAL_ID_1>"),
        ("contact number 9876543210", "contact number <PHONE_1>"),
        ('{"dateOfBirth":"1980-04-03"}', '{"dateOfBirth":"<BIRTH_DATE_1>"}'),
        ("my passport's number is 533380006", "my passport's number is <PASSPORT_1>"),
        ("card 4111 1111 1111 1111 12/27", "card <CARD_NUMBER_1> 12/27"),
        ("order 12 paid with card 4111111111111111", "order 12 paid with card <CARD_NUMBER_1>"),
        ("order 732201349959, phone: 0612345678", "order 732201349959, phone: <PHONE_1>"),
    ],
)
def test_words_around_tell_what_bare_digits_are(text: str, hidden: str) -> None:
    assert Masker().mask(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        *("order 113542617735902", "order 4111111111111111", "invoice INV-2041-3344", "#W2611340"),
        *("on 2026-11-24 10:30", "24.11.2026 14:30", "from 2024-01-01 to 2024-12-31", "12:30:45"),
        *("paid 1,250,000.00 USD", "1 000 000 000 EUR", "9.99 19.99 29.99 39.99", "0.123456789"),
        *("ticket 555-123-4567", "call about order 123456789", "item 1008292230", "ord_7 inv_2041"),
        *("version 1.2.3.4", "v10.0.0.1", "ISBN 978-3-16-148410-0", "lat 52.520008, 13.404954"),
        *("credit_card_7901829", "uuid 123e4567-e89b-12d3-a456-426614174000", "1-2-3-4-5-6-7-8"),
        *("account 12345678", "tracking 1Z999AA10123456784", "my card ends in 4242", "@anna"),
        *(
            "1234 5678 9012 3456",
            "DE00370400440532013000",
            "12345678A",
            "10.0.0.256",
            "born in 1980",
        ),
    ],
)
def test_orders_amounts_dates_and_impossible_numbers_stay(text: str) -> None:
    masker = Masker()
    assert masker.mask(text) == text
    assert masker.found == {}


def test_one_value_keeps_its_placeholder_over_all_texts_of_a_conversation() -> None:
    masker = Masker()
    assert masker.mask(f"I am {MAIL}, not bob@x.io") == "I am <EMAIL_1>, not <EMAIL_2>"
    assert masker.mask(json.dumps({"to": MAIL, "card": CARD})) == (
        '{"to": "<EMAIL_1>", "card": "<CARD_NUMBER_1>"}'
    )
    assert masker.found == {Kind.EMAIL: 2, Kind.CARD_NUMBER: 1}


def test_another_worker_that_masks_the_same_texts_can_restore() -> None:
    texts = [f"I am {MAIL}", f"bob@x.io paid with {CARD}", f"{MAIL} again"]
    here, there = Masker(), Masker()
    masked = [here.mask(text) for text in texts]
    assert [there.mask(text) for text in texts] == masked
    assert [there.restore(text) for text in masked] == texts


def test_what_a_model_asks_for_is_restored_however_deep_and_however_written() -> None:
    masker = Masker()
    masker.mask(f"{MAIL} {CARD}")
    asked = {
        "to": ["<email_1>", {"cc": "Anna EMAIL_1"}],
        "card": "Card_Number_1",
        "n": 1,
        "x": None,
    }
    assert masker.restore(asked) == {
        "to": [MAIL, {"cc": f"Anna {MAIL}"}],
        "card": CARD,
        "n": 1,
        "x": None,
    }


@pytest.mark.parametrize("typed", ["<EMAIL_1>", "email_1", "<email_1>", "EMAIL_1", "<TYPED_1>"])
def test_nobody_can_type_himself_anothers_value(typed: str) -> None:
    masker = Masker()
    texts = [f"send it to {typed}", f"the other customer is {MAIL}", f"once more {typed}"]
    masked = [masker.mask(text) for text in texts]
    assert masked[::2] == ["send it to <TYPED_1>", "once more <TYPED_1>"]
    assert [masker.restore(text) for text in masked] == texts


def test_a_placeholder_that_was_never_given_out_stays() -> None:
    masker = Masker()
    masker.mask(MAIL)
    assert masker.restore(["<EMAIL_2>", "<PHONE_1>", "myEMAIL_1"]) == [
        "<EMAIL_2>",
        "<PHONE_1>",
        "myEMAIL_1",
    ]


def test_an_agent_may_read_the_kinds_it_needs() -> None:
    masker = Masker(kinds={Kind.CARD_NUMBER})
    assert masker.mask(f"{MAIL} {CARD}") == f"{MAIL} <CARD_NUMBER_1>"


_PIECES = st.sampled_from(
    [
        MAIL,
        CARD,
        "<EMAIL_1>",
        "EMAIL_1",
        "typed_1",
        "+1 202 555 0143",
        "\\n",
        "\n",
        " ",
        "<",
        ">",
        "1",
    ]
)


@given(st.lists(st.one_of(st.text(max_size=12), _PIECES), max_size=12), st.integers(0, 5))
def test_restoring_gives_back_any_text_exactly(pieces: list[str], cut: int) -> None:
    masker = Masker()
    texts = ["".join(pieces[:cut]), "".join(pieces[cut:])]
    masked = [masker.mask(text) for text in texts]
    assert masker.restore(masked) == texts
    assert not any(MAIL in text for text in masked)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"real messages are not here: {DATA}")
def test_99_of_100_planted_values_are_hidden_and_nothing_else() -> None:
    messages = [each for many in held_out_customers().values() for each in many]
    missed = [
        case
        for case in personal_cases(messages, count=2_700, seed=4)
        if not _hides_exactly(case.before, case.text, case.after)
    ]
    assert len(missed) <= 27, missed[:5]


def _hides_exactly(before: str, text: str, after: str) -> bool:
    masked = Masker().mask(text)
    hidden = masked[len(before) : len(masked) - len(after)]
    whole = hidden.startswith("<") and hidden.endswith("_1>") and hidden.count("<") == 1
    return masked == before + hidden + after and whole


@pytest.mark.parametrize(
    "piece", ["1 ", "0 ", "(0)", "a@", "a.", "+1", "AB12 ", "1-", "::", "4111 ", "a[at]", "\\n1"]
)
def test_a_long_text_made_to_be_slow_takes_seconds_at_most(piece: str) -> None:
    begun = time.process_time()
    Masker().mask((piece * 20_000)[:20_000])
    assert time.process_time() - begun < 5
