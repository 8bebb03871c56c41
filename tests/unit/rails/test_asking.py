"""What a request asks for, by its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.agents import load_catalogue
from fleet_workers.rails.asking import asks_for

WRITES = [
    (tool, example.text)
    for release in load_catalogue()
    for example in release.golden
    for tool in release.tools
    if tool.effect == "write" and tool.name in example.tools and example.text.isascii()
    if not example.text.startswith("Bitte")
]


@pytest.mark.parametrize(("tool", "text"), WRITES, ids=lambda each: getattr(each, "name", ""))
def test_the_agents_own_examples_ask_for_their_writes(tool: object, text: str) -> None:
    asked_by = tool.asked_by  # type: ignore[attr-defined]
    name = tool.name  # type: ignore[attr-defined]
    assert asks_for([text], tool=name, asked_by=asked_by, names_target=True)


@pytest.mark.parametrize(
    ("text", "tool", "asked"),
    [
        ("Please cancel my appointment", "cancel_calendar_event", True),
        ("Please cancel my appointment", "delete_file", False),
        ("Could you book us a table for two?", "reserve_restaurant", True),
        ("Where is my parcel?", "refund_payment", False),
        ("Reschedule the dentist", "reschedule_calendar_event", False),
        ("", "send_email", False),
    ],
)
def test_a_verb_and_its_thing_must_both_be_asked_for(text: str, tool: str, asked: bool) -> None:
    assert asks_for([text], tool=tool) is asked


def test_whom_it_is_about_stands_in_for_the_thing() -> None:
    assert not asks_for(["Send it to Alice"], tool="send_direct_message")
    assert asks_for(["Send it to Alice"], tool="send_direct_message", names_target=True)
    assert not asks_for(["What did Alice say?"], tool="send_direct_message", names_target=True)


def test_an_author_s_phrase_counts_where_all_of_its_words_occur() -> None:
    phrases = ("money back", "charged twice")
    assert asks_for(["I want my money back"], tool="refund_payment", asked_by=phrases)
    assert not asks_for(["I have no money"], tool="refund_payment", asked_by=phrases)
    assert not asks_for(["anything"], tool="refund_payment", asked_by=("", " "))


@given(text=st.text(max_size=300), tool=st.text(max_size=30))
def test_any_text_and_name_can_be_compared(text: str, tool: str) -> None:
    assert asks_for([text], tool=tool) in {True, False}
