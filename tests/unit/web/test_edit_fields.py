"""The form that changes an action: what a person leaves alone stays, to the last character."""

from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fleet_contracts.errors import InvalidInput
from fleet_workers.tools import Tool, ToolContext, tool
from fleet_workers.web.console.edit_fields import arguments_from, edit_fields, typed_values
from fleet_workers.web.console.forms import Fields


class Address(BaseModel):
    street: str
    number: int | None = None


@tool(effect="write", repeat="idempotent", customer_argument="customer")
def ship(  # noqa: PLR0917 one argument of each kind
    context: ToolContext,
    customer: str,
    amount_usd: Decimal,
    parcels: int,
    speed: Literal["slow", "fast"],
    express: bool,
    to: Address,
    note: str = "",
    tags: list[str] | None = None,
    on: date | None = None,
    gift: bool | None = None,
) -> str:
    """Ship."""
    return ""


GIVEN: dict[str, Any] = {
    "customer": "cus_1",
    "amount_usd": "49.00",
    "parcels": 2,
    "speed": "slow",
    "express": False,
    "to": {"street": "Long Road", "number": None},
    "note": "Two lines,\nthe second.",
}


def posted(declared: Tool | None, arguments: dict[str, Any], **changed: str) -> Fields:
    """The form as a browser sends it: all fields, line ends as CR LF, and what was typed."""
    shown = {each.form_name: each.value for each in edit_fields(declared, arguments)}
    typed = shown | {f"arg.{name}": value for name, value in changed.items()}
    return Fields({name: (value.replace("\n", "\r\n"),) for name, value in typed.items()})


def edited(**changed: str) -> dict[str, Any]:
    return arguments_from(edit_fields(ship, GIVEN), posted(ship, GIVEN, **changed))


def test_each_argument_has_a_field_that_fits_its_type() -> None:
    fields = {each.name: each for each in edit_fields(ship, GIVEN)}
    assert list(fields)[:3] == ["customer", "amount_usd", "parcels"]
    kinds = {name: each.kind for name, each in fields.items()}
    assert kinds == {
        "customer": "text",
        "amount_usd": "number",
        "parcels": "number",
        "speed": "choice",
        "express": "yes_no",
        "to": "json",
        "note": "long",
        "tags": "json",
        "on": "text",
        "gift": "yes_no",
    }
    assert fields["amount_usd"].label == "Amount (USD)"
    assert fields["speed"].choices == ("slow", "fast")
    assert fields["customer"].is_fixed
    assert (fields["parcels"].is_required, fields["note"].is_required) == (True, False)


def test_what_is_changed_is_changed_and_nothing_else() -> None:
    assert edited(amount_usd="40.10") == {**GIVEN, "amount_usd": "40.10"}
    assert edited(parcels="3") == {**GIVEN, "parcels": 3}
    assert edited(speed="fast") == {**GIVEN, "speed": "fast"}
    assert edited(express="yes") == {**GIVEN, "express": True}
    assert edited(gift="no") == {**GIVEN, "gift": False}
    assert edited(to='{"street": "Short Road"}') == {**GIVEN, "to": {"street": "Short Road"}}
    assert edited(tags='["a"]') == {**GIVEN, "tags": ["a"]}
    assert edited(note="One line.\nTwo.") == {**GIVEN, "note": "One line.\nTwo."}


def test_an_optional_argument_is_left_out_where_its_field_is_emptied() -> None:
    changed = edited(note="")
    assert "note" not in changed
    assert changed["to"] == GIVEN["to"]


def test_whom_it_is_about_cannot_be_changed() -> None:
    with pytest.raises(InvalidInput, match="Nothing was changed"):
        edited(customer="cus_2")
    assert edited(customer="cus_2", parcels="3")["customer"] == "cus_1"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Nothing was changed"),
        ({"note": "  Two lines,\nthe second. "}, "Nothing was changed"),
        ({"parcels": "many"}, "Parcels must be a number"),
        ({"parcels": "true"}, "Parcels must be a number"),
        ({"parcels": "Infinity"}, "Parcels must be a number"),
        ({"parcels": "1e999"}, "Parcels must be a number"),
        ({"amount_usd": "49,00"}, "Amount .USD. must be a number"),
        ({"amount_usd": ""}, "Amount .USD. is needed"),
        ({"to": "{"}, "To must stay JSON"),
        ({"to": "[" * 100_000}, "To must stay JSON"),
        ({"express": "perhaps"}, "Express is yes or no"),
    ],
)
def test_what_cannot_be_read_is_named(changed: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        edited(**changed)


def test_fields_that_a_form_lacks_stay_as_they_are() -> None:
    fields = edit_fields(ship, GIVEN)
    only = Fields({"arg.parcels": ("5",)})
    assert arguments_from(fields, only) == {**GIVEN, "parcels": 5}
    assert typed_values(fields, only)["arg.parcels"] == "5"
    assert typed_values(fields, only)["arg.speed"] == "slow"


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    arguments=st.dictionaries(st.text("abcxyz_", min_size=1, max_size=6), _json, max_size=5),
    is_known=st.booleans(),
)
def test_a_form_sent_back_untouched_changes_nothing_whatever_the_agent_wrote(
    arguments: dict[str, Any], is_known: bool
) -> None:
    declared = ship if is_known else None
    given_ = {**arguments, "parcels": 1}
    fields = edit_fields(declared, given_)
    with pytest.raises(InvalidInput, match="Nothing was changed"):
        arguments_from(fields, posted(declared, given_))
    assert arguments_from(fields, posted(declared, given_, parcels="2")) == {**given_, "parcels": 2}
