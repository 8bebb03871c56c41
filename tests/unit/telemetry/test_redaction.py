from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.errors import Unavailable
from fleet_workers.rails.personal_data import mask_text
from fleet_workers.telemetry import redaction
from fleet_workers.telemetry.faults import WITHHELD, told_error
from fleet_workers.telemetry.redaction import REQUEST, redact, use_mask, without_echo
from fleet_workers.telemetry.run_scope import RunScope, working_on

WORDS = "Please refund the blue kettle that broke on Monday"


@pytest.fixture(autouse=True)
def _masked() -> Iterator[None]:
    use_mask(mask_text)
    yield
    redaction._mask = None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the model says: the BLUE kettle, that broke!", f"the model says: {REQUEST}!"),
        ("kettle that broke; refund the blue", f"{REQUEST}; {REQUEST}"),
        ("connection refused at 10.0.0.1:5432", "connection refused at 10.0.0.1:5432"),
        ("the kettle", "the kettle"),
        ("", ""),
    ],
)
def test_what_repeats_the_request_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert without_echo(text, WORDS) == shown


def test_a_short_request_is_hidden_whole() -> None:
    assert (
        without_echo("it said 'Hello there' to me", "hello there") == f"it said '{REQUEST}' to me"
    )


@given(
    st.lists(st.from_regex(r"[a-zäß]{1,9}", fullmatch=True), min_size=3, max_size=30),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_a_quoted_request_never_remains(said: list[str], before: str, after: str) -> None:
    words = " ".join(said)
    assert words not in without_echo(f"{before} '{words}' {after}", words)


def test_personal_data_is_masked_with_a_task_and_without() -> None:
    assert redact("mail to ada@example.com failed") == "mail to <EMAIL_1> failed"
    with working_on(RunScope(task="1", tenant="acme", words=WORDS)):
        assert redact(f"{WORDS}: ada@example.com") == f"{REQUEST}: <EMAIL_1>"


def _quote(words: str) -> None:
    try:
        int(words)
    except ValueError as error:
        raise Unavailable("The shop is away, says bob@example.com.") from error


def test_errors_of_ours_are_told_and_those_of_libraries_withheld() -> None:
    quoted = "ada@example.com is no number"
    with pytest.raises(Unavailable) as raised:
        _quote(quoted)
    told = told_error(raised.value)
    assert f"ValueError: {WITHHELD}" in told
    assert "Unavailable: The shop is away, says <EMAIL_1>." in told
    assert "test_redaction.py" in told
    assert quoted not in told
