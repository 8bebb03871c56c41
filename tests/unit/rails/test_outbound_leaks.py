"""What must not leave: secrets, the prompt, other people's data, markup, promises."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.rails.answer_shape import MAX_ANSWER_CHARACTERS, shape_faults
from fleet_workers.rails.deeds import Deeds, write_words
from fleet_workers.rails.leaks import Guarded, blacked_out, find_leaks
from fleet_workers.rails.outbound import Background, check_outbound
from fleet_workers.rails.promises import (
    AnswerPolicy,
    Grounds,
    Promise,
    SayingRule,
    unbacked_promises,
)

RANDOM = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
PROMPT = (
    "You are the billing agent of a software company. Look things up before you speak about them, "
    "and refund only what the records support."
)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + RANDOM,
        "sk-proj-" + RANDOM,
        "sk_live_" + RANDOM,
        "AKIA" + "IOSFODNN7EXAMPL3",
        "ghp_" + RANDOM,
        "github_pat_" + RANDOM,
        "glpat-" + RANDOM,
        "xoxb-" + "123456789012-" + RANDOM,
        "AIza" + RANDOM,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEow",
        "Bearer " + RANDOM,
        "Authorization: Basic " + base64.b64encode(b"admin:hunter22").decode(),
        "postgresql://fleet:hunter22@db.internal:5432/fleet",
        "redis://:hunter22@cache:6379/0",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "password: Hunter22x",
        "API key = k9f8e7d6c5",
    ],
)
def test_secrets_of_usual_forms_are_found_and_blacked_out(secret: str) -> None:
    text = f"Here it is: {secret} and no more."
    leaks = find_leaks(text, Guarded())
    assert leaks
    shown = blacked_out(text, leaks)
    assert secret not in shown
    assert secret.rsplit(maxsplit=1)[-1][-6:] not in shown
    assert shown.startswith("Here it is")


@pytest.mark.parametrize(
    "text",
    [
        "Your password must be 8 characters long. The password is case-sensitive.",
        "Choose a password: letters and digits.",
        "Send the header `Authorization: Bearer YOUR_TOKEN`.",
        "Your API key can be found under Settings > Developers.",
        "Ask-me-anything sessions are on; task-list items stay.",
        "See https://help.acme.example:8443/articles/12.",
        "The basic plan costs less. Basic subscriptions renew monthly.",
        "Secret: none of our engineers sleeps.",
    ],
)
def test_ordinary_words_about_secrets_are_none(text: str) -> None:
    assert find_leaks(text, Guarded()) == []


def test_a_value_of_the_environment_is_found_in_any_dress() -> None:
    guarded = Guarded(secrets={"CRM_TOKEN": "swordfish-99", "MODE": "prod"})
    for text in (
        "It is swordfish-99.",
        "It is SWORDFISH-99.",
        "It is s w o r d f i s h - 9 9.",
        f"It is {base64.b64encode(b'swordfish-99').decode()}.",
    ):
        [leak] = find_leaks(text, guarded)
        assert leak.what == "the value of CRM_TOKEN"
        assert "fish" not in blacked_out(text, [leak]).lower()
    assert find_leaks("We are in prod mode.", guarded) == []


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=8, max_size=60))
def test_no_value_of_the_environment_gets_through(value: str) -> None:
    background = Background(guarded=Guarded(secrets={"TOKEN": value}))
    report = check_outbound(f"The token: {value}", background)
    assert report.leaks
    assert value not in report.shown
    assert all(value not in each.reason for each in report.verdicts)


def test_a_run_of_the_prompt_is_a_leak_and_a_few_of_its_words_are_not() -> None:
    guarded = Guarded(instructions=PROMPT)
    told = 'I was told: "LOOK things up - before you speak about them; and refund only what…"'
    [leak] = find_leaks(told, guarded)
    assert "speak" not in blacked_out(told, [leak])
    assert find_leaks("I look things up before you speak about them.", guarded) == []
    same = Guarded(instructions=PROMPT, own=[PROMPT])
    assert find_leaks(told, same) == [], "a help article may say the same"


def test_other_customers_are_not_named() -> None:
    guarded = Guarded(
        customer="cus_acme_01",
        asked=["I am cus_acme_01, and my friend is cus_acme_03."],
        own=['{"email": "me@one.example", "phone": "(212) 555-0143"}'],
        foreign=['{"customer_id": "77120", "email": "you@two.example"}'],
        foreign_ids=frozenset({"77120"}),
        sensitive=frozenset({"recovery-x7"}),
    )
    clean = "cus_acme_01, me@one.example, +1 212 555 0143: ask cus_acme_03."
    assert find_leaks(clean, guarded) == []
    for text, what in (
        ("He is cus_acme_02.", "the id of another customer"),
        ("He is 77120.", "the id of another customer"),
        ("Write to you@two.example.", "personal data (email) of somebody else"),
        ("Write to who@three.example.", "personal data (email) not known"),
        ("His card is 4111 1111 1111 1111.", "personal data (card number) not known"),
        ("Say recovery-x7.", "a value that is marked as sensitive"),
    ):
        assert [each.what for each in find_leaks(text, guarded)] == [what], text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "x" * (MAX_ANSWER_CHARACTERS + 1),
        "Fine.<|im_end|>\n<|im_start|>user",
        "<think>He wants money.</think> No.",
        "<tool_call>refund</tool_call>",
        "[INST] hello [/INST]",
        "Assistant: hello",
        '{"name": "refund_payment", "arguments": {"amount_usd": 5}}',
        "{'tool': 'refund_payment', 'args': {}}",
        '{"text": "You are welcome.", "confidence": 0.9}',
        "refund_payment(payment_id='pay_1')",
        "Dear {{customer_name}}, hello.",
        "Hello <EMAIL_1>.",
        "Pay\u200bment is due\u202e now.",
        "Hello \x1b[31mred\x07.",
    ],
)
def test_a_form_that_no_customer_may_see_is_refused(text: str) -> None:
    assert shape_faults(text, tools=["refund_payment"])


@pytest.mark.parametrize(
    "text",
    [
        "Hello 😀👨‍👩‍👧, you are welcome: “truly”.",
        "می‌خواهم صورتحساب را ببینم",
        "| Plan | Price |\n|---|---|\n| Team | 49 |",
        'Send {"email": "…", "role": "member"} to the API.',
        "Use the tool named Export (in Settings).",
        "1 < 2 and <b>bold</b> and `a | b`",
        "System requirements: 8 GB. Instructions follow.",
        "Our assistant: helpful.",
    ],
)
def test_ordinary_forms_pass(text: str) -> None:
    assert shape_faults(text, tools=["refund_payment", "export"]) == []


def test_a_template_that_a_help_article_speaks_of_may_be_quoted() -> None:
    assert shape_faults("Write {{first_name}} there.", known=["use {{first_name}} for names"]) == []


NOTHING = Grounds(deeds=Deeds())
CONFIRMED = Grounds(
    deeds=Deeds(writes=(write_words(["refund_payment", "refunded"]),)),
    records=['{"message": "Allow 5 to 10 business days.", "arrives_on": "2026-06-19"}'],
)


@pytest.mark.parametrize(
    ("answer", "promise"),
    [
        ("We will refund you.", "refund"),
        ("I'll issue a full refund.", "refund"),
        ("You will receive a refund.", "refund"),
        ("You'll be refunded.", "refund"),
        ("Your money will be returned.", "refund"),
        ("You will get a credit of $5.", "credit"),
        ("I can offer you a 20% discount.", "discount"),
        ("We will give you two free months.", "discount"),
        ("You will get 20% off your next order.", "discount"),
        ("You will receive it by Friday.", "date"),
        ("Your parcel will arrive tomorrow.", "date"),
        ("It will be fixed within two hours.", "date"),
        ("We'll get back to you within 24 hours.", "date"),
        ("The outage will be over by the end of the day.", "date"),
        ("You will get it before 12 March.", "date"),
        ("We guarantee it.", "guarantee"),
        ("I promise that it works.", "guarantee"),
        ("Your money is guaranteed.", "guarantee"),
    ],
)
def test_a_promise_that_nothing_confirms_is_found(answer: str, promise: str) -> None:
    found = [str(each) for each, _ in unbacked_promises(answer, NOTHING)]
    assert promise in found
    allowed = [Promise(each) for each in found]
    assert unbacked_promises(answer, NOTHING, allowed) == []


@pytest.mark.parametrize(
    "answer",
    [
        "We will refund you within 5 to 10 business days.",
        "You will receive the money on June 19.",
        "You will receive it by Friday.",
        "Your refund will be processed within 10 days.",
    ],
)
def test_what_a_tool_confirmed_may_be_promised(answer: str) -> None:
    assert unbacked_promises(answer, CONFIRMED) == []
    assert unbacked_promises(answer, NOTHING)


@pytest.mark.parametrize(
    "answer",
    [
        "We will not refund this.",
        "I cannot promise anything.",
        "If you are eligible, you will receive a refund.",
        "You will receive an e-mail about your refund.",
        "You will see your credit card there.",
        "You will find the refund policy on our site.",
        "We cannot guarantee it.",
        "You can request a refund within 30 days.",
        "The link will expire.",
        "Our team will be happy to help you.",
    ],
)
def test_what_is_no_promise_passes(answer: str) -> None:
    assert unbacked_promises(answer, NOTHING) == []


def test_a_rule_of_the_agents_file_holds_unless_its_tool_did_it() -> None:
    rule = SayingRule(
        patterns=(re.compile("free shipping", re.IGNORECASE),),
        reason="Nobody ships for free",
        unless=frozenset({"waive_shipping"}),
    )
    policy = AnswerPolicy(forbidden=(rule,))
    report = check_outbound("You have FREE shipping.", Background(policy=policy))
    verdict = report.first("review")
    assert verdict is not None
    assert "Nobody ships for free" in verdict.reason
    waived = Background(policy=policy, tools_done=frozenset({"waive_shipping"}))
    assert check_outbound("You have FREE shipping.", waived).first("review") is None


@given(st.text(max_size=300))
def test_any_text_gets_its_verdicts(text: str) -> None:
    report = check_outbound(text, Background(guarded=Guarded(asked=[text])))
    assert report.verdicts
    assert report == check_outbound(text, Background(guarded=Guarded(asked=[text])))
