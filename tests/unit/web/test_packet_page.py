"""A review's packet on its page: read from the proposal down, whatever stands in it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_workers.agents import load_catalogue
from fleet_workers.review.packet_action import describe_action
from fleet_workers.review.similar import PastDecision
from fleet_workers.web.console.packet import shown_packet
from fleet_workers.web.console.rendering import _environment

HOSTILE = "<script>alert(1)</script>\x00\ud800"
ROWS = ("because", "ruled_out", "rounds", "about_customer", "conversation", "done", "found")
PARTS = ("request", "data", "signals", "understood", "proposal", "action", "confidence", "why")


def page_of(packet: dict[str, Any], *similar: PastDecision) -> str:
    shown = {"packet": shown_packet(packet), "similar": similar}
    return "".join(
        _environment().get_template(name).render(shown)
        for name in ("packet_proposal.html", "packet.html")
    )


def test_the_proposal_stands_first_and_then_what_it_rests_on() -> None:
    proposal = {"tool": "refund_payment", "arguments": {"amount_usd": "150", "payment_id": "pay_3"}}
    release = load_catalogue().get("billing")
    text = page_of(
        {
            "request": "Give it back!",
            "proposal": proposal,
            "action": describe_action(proposal, None, release),
            "because": [{"check": "Approval", "why": "It needs approval over 100."}],
            "found": [
                {
                    "tool": "list_payments",
                    "line": "List payments",
                    "came_to": "It was found.",
                    "outcome": {"value": {"payment_id": "pay_3", "amount_usd": "150.00"}},
                }
            ],
            "rounds": [{"proposed": "All of it", "by": "ann", "decided": "rejected", "said": "No"}],
        }
    )
    order = ["It wants to: Refund payment", "150.00 USD", "It moves", "Why it stopped"]
    order += ["It needs approval over 100.", "ann rejected", "List payments"]
    assert [text.index(each) for each in order] == sorted(text.index(each) for each in order)


def test_rows_that_a_tool_gave_are_a_table_and_the_rest_is_folded_away() -> None:
    value = {
        "payments": [{"id": "pay_1", "paid": True}, {"id": "pay_2", "note": None}],
        "total_usd": "3.00",
        "deep": {"x": 1},
    }
    text = page_of({"found": [{"tool": "t", "outcome": {"value": value}}]})
    assert '<th scope="col">paid</th>' in text
    assert "<td>pay_2</td><td></td><td>null</td>" in text
    assert "<dd>3.00</dd>" in text
    assert "What else it gave back" in text
    assert text.count("pay_1") == 1
    bare = page_of({"found": [{"tool": "t", "outcome": {"value": [{"a": 1}, {"a": 2}]}}]})
    assert "<td>2</td>" in bare
    assert "<details>" not in bare


def test_similar_decisions_lead_to_their_reviews() -> None:
    like = PastDecision(
        review=UUID(int=1),
        task=UUID(int=2),
        request=HOSTILE,
        kind="approval",
        proposed="Refund payment",
        ruling="reject",
        decided="rejected",
        said="Too much",
        by="ann",
        at=datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        likeness=0.5,
    )
    text = page_of({"request": "x"}, like)
    assert f'href="/console/reviews/{like.review}"' in text
    assert "ann rejected" in text
    assert "2026-03-29T01:30:00Z" in text
    assert "<script>" not in text


FIELDS = ("by", "said", "check", "role", "content", "line", "outcome", "arguments", "at", "title")
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(HOSTILE),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(["role", "content", "line"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*PARTS, *ROWS, "else"]), WILD))
def test_no_packet_breaks_the_page_or_gets_out_of_its_words(packet: dict[str, Any]) -> None:
    assert "<script>" not in page_of(packet)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(st.dictionaries(st.sampled_from(FIELDS), WILD), max_size=3)
            for name in ROWS
        }
        | {name: st.dictionaries(st.sampled_from(FIELDS), WILD) for name in ("action", "proposal")},
    )
)
def test_no_row_of_a_packet_breaks_the_page(packet: dict[str, Any]) -> None:
    assert "<script>" not in page_of(packet)
