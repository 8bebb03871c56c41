"""What a person is told with a task: all that is known, in words, small enough, and no secret."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_contracts.envelope import build_envelope
from fleet_contracts.outcome import ReviewKind
from fleet_workers.agents import load_catalogue
from fleet_workers.controller.decision import Park
from fleet_workers.review.binding import DECISION_STEP
from fleet_workers.review.handoff import build_packet
from fleet_workers.review.packet_action import describe_action, describe_edited
from fleet_workers.review.packet_origins import Origins
from fleet_workers.review.packet_size import MAX_PACKET_BYTES, fitted, shortened
from fleet_workers.review.wording import call_words, money_words, time_words, title_of
from fleet_workers.store.journal import Step, StepKind, StepState
from fleet_workers.testing import AgentRun, answer, call, hand_over, say
from support.parcels import RELEASE, TEXT, TRACKED, run

REFUND = call("refund_order", order_id="ord_7", amount_usd="50.01")


def size_of(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def packet_of(found: AgentRun, *more: Step, **envelope: Any) -> dict[str, Any]:
    decision = found.decision
    assert isinstance(decision, Park), decision
    values = {"tenant": "acme", "agent": "parcels", "input": TEXT, "customer": "cus_1", **envelope}
    return build_packet(
        build_envelope(**values),
        [*found.steps, *more],
        agent="parcels",
        release=RELEASE.id,
        reason=decision.reason,
        proposal=decision.proposal,
        confidence=decision.confidence,
        kind=decision.kind,
        gates=decision.gates,
        evidence=decision.evidence,
        made_by=RELEASE,
    )


def decided(seq: int, **said: Any) -> Step:
    result = {"review": "r1", "kind": "approval", "text": "", "by": "ann", "at": None, **said}
    return Step(
        seq=seq,
        kind=StepKind.REVIEW,
        name=DECISION_STEP,
        state=StepState.DONE,
        request={},
        result=result,
    )


def test_an_action_is_told_with_its_arguments_and_what_follows() -> None:
    packet = packet_of(run(call("track_parcel", order_id="ord_7"), REFUND))
    action = packet["action"]
    assert action["line"] == "Refund order (Order ID ord_7, Amount 50.01 USD)"
    shown = {each["name"]: (each["label"], each["shown"]) for each in action["arguments"]}
    assert shown["amount_usd"] == ("Amount", "50.01 USD")
    assert shown["order_id"] == ("Order ID", "ord_7")
    assert action["consequences"][0] == "It changes something in the other system."
    assert any("it takes effect once" in each for each in action["consequences"])
    assert packet["proposal"]["arguments"] == {"order_id": "ord_7", "amount_usd": "50.01"}


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("refund_payment", {"amount_usd": "1500"}, ["It moves 1,500.00 USD.", "takes effect once"]),
        ("list_plans", {}, ["nothing is changed"]),
        ("change_plan", {"plan_id": "team"}, ["It uses the agent's right billing:plan."]),
        ("gone", {"amount_usd": 3}, ["the tool is not installed"]),
    ],
)
def test_consequences_follow_from_what_the_tool_declares(
    tool: str, arguments: dict[str, Any], told: list[str]
) -> None:
    proposal = {"tool": tool, "arguments": arguments}
    release = load_catalogue().get("billing")
    sentences = describe_action(proposal, ReviewKind.APPROVAL, release)["consequences"]
    assert all(any(each in sentence for sentence in sentences) for each in told), sentences


def test_whoever_decides_after_an_edit_reads_what_will_be_done() -> None:
    # Given a refund of 150 that one has changed to 40, and another to 30 without a reason
    proposed = {"payment_id": "pay_3", "amount_usd": "150", "reason": "Twice"}
    release = load_catalogue().get("billing")
    action = describe_action(
        {"tool": "refund_payment", "arguments": proposed}, ReviewKind.APPROVAL, release
    )
    action["arguments"][0]["origin"] = "stands in the request"

    def edited(arguments: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        proposal = {"tool": "refund_payment", "arguments": arguments, "planned_arguments": proposed}
        return describe_edited(proposal, ReviewKind.APPROVAL, release, before=before)

    once = edited({**proposed, "amount_usd": "40.00"}, action)
    twice = edited({"payment_id": "pay_3", "amount_usd": 30, "why": "x"}, once)
    for found, amount in ((once, "40.00 USD"), (twice, "30.00 USD")):
        shown = {each["name"]: each for each in found["arguments"]}
        assert found["consequences"][0] == f"It moves {amount}."
        assert f"Amount {amount}" in found["line"]
        assert shown["amount_usd"]["shown"] == amount
        assert "150" not in found["line"]
        assert "instead_of" not in shown["payment_id"]
        assert shown["payment_id"]["origin"] == "stands in the request"
        assert shown["amount_usd"]["instead_of"] == "150.00 USD"
    assert shown["reason"]["left_out"]
    assert shown["reason"]["instead_of"] == "Twice"
    assert shown["why"]["shown"] == "x"
    assert describe_edited({}, ReviewKind.APPROVAL, release, before=action) == {}


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("ord_7", "stands in the request"),
        ("ORD_7", "stands in the request"),
        ("40.00", "stands in the request"),
        (40, "stands in the request"),
        ("shop", "stands in the data of the request"),
        ("in Lyon", "was found by Track parcel"),
        (["ord_7", 50], "stands in the request"),
        (["ord_7", "in Lyon"], "stands in nothing that was read"),
        ("ord_77", "stands in nothing that was read"),
        ("rd_7", "stands in nothing that was read"),
        ("0", "stands in nothing that was read"),
        (None, None),
        ("  ", None),
        (True, None),
        ({}, None),
        ("\x00\ud800", "stands in nothing that was read"),
        ("(" * 50, "stands in nothing that was read"),
    ],
)
def test_a_value_is_told_with_where_it_stands(value: Any, origin: str | None) -> None:
    found = run(call("track_parcel", order_id="ord_7"), REFUND)
    envelope = build_envelope(tenant="acme", agent="parcels", input=TEXT, data={"via": "shop"})
    assert Origins(envelope, found.steps).find(value) == origin


def test_an_action_says_of_each_value_where_it_stands() -> None:
    found = run(
        call("track_parcel", order_id="ord_7"),
        call("refund_order", order_id="ord_7", amount_usd="50.01"),
    )
    shown = {each["name"]: each.get("origin") for each in packet_of(found)["action"]["arguments"]}
    assert shown == dict.fromkeys(["order_id", "amount_usd"], "stands in the request")


def test_a_call_in_doubt_says_that_it_may_have_happened() -> None:
    proposal = {"tool": "book_courier", "arguments": {"order_id": "ord_7"}}
    told = describe_action(proposal, ReviewKind.IN_DOUBT, RELEASE)["consequences"]
    assert "may have taken effect already" in told[-1]


def test_it_says_what_stopped_the_agent_and_what_it_had_understood() -> None:
    packet = packet_of(run(call("track_parcel", order_id="ord_7"), REFUND))
    assert {"check": "Approval", "why": packet["why"]} in packet["because"]
    assert packet["understood"][0] == "parcels planned: Track parcel (Order ID ord_7)."
    assert packet["found"][0]["outcome"] == {"value": TRACKED}
    assert packet["found"][0]["came_to"] == "It was found."


def test_every_doubt_about_an_answer_is_told() -> None:
    packet = packet_of(
        run(call("track_parcel", order_id="ord_7"), answer("It costs $77.35.", confidence=0.9))
    )
    told = {each["check"] for each in packet["because"]}
    assert {"Claims of the answer", "Confidence"} <= told
    assert any("77.35" in each["why"] for each in packet["because"])


def test_what_was_refused_or_failed_is_ruled_out_with_its_reason() -> None:
    found = run(
        call("track_parcel", order_id="ord_7", nonsense=1),
        call("track_parcel", order_id="ord_7"),
        hand_over("Nobody here can help with lost parcels."),
    )
    packet = packet_of(found)
    (first, *_) = packet["ruled_out"]
    assert first["what"].startswith("Track parcel (Order ID ord_7")
    assert "nonsense" in first["why"]
    assert first["by"] == "the arguments check"


def test_earlier_reviews_of_the_task_are_told_with_what_was_proposed_and_said() -> None:
    found = run(call("track_parcel", order_id="ord_7"), REFUND)
    plan = found.decision.proposal  # type: ignore[union-attr]
    reject = decided(
        len(found.steps),
        ruling="reject",
        text="Too much",
        tool="refund_order",
        plan=plan["plan"],
        call=plan["call"],
        at="2026-03-29T01:30:00+01:00",
    )
    packet = packet_of(found, reject)
    (told,) = packet["rounds"]
    assert told["proposed"] == "Refund order (Order ID ord_7, Amount 50.01 USD)"
    assert (told["decided"], told["said"], told["by"]) == ("rejected", "Too much", "ann")
    assert told["at"] == "2026-03-29 00:30 UTC"
    assert told["why"] == packet["why"]
    assert packet["ruled_out"][-1] == {"what": told["proposed"], "why": "Too much.", "by": "ann"}


def test_a_draft_that_leaks_stands_nowhere_in_the_packet_whatever_the_model_says_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARCELS_URL", "https://user-7.internal.example/key-77")
    leak = "See https://user-7.internal.example/key-77 and sk-abcdefghijklmnop1234."
    for reply in (answer(leak), say(leak)):
        found = run(call("track_parcel", order_id="ord_7"), reply)
        assert found.review_kind is ReviewKind.SUSPICIOUS
        plan = max(each.seq for each in found.steps if each.kind is StepKind.PLAN)
        again = decided(len(found.steps), kind="suspicious", ruling="reject", text="No", plan=plan)
        packet = packet_of(found, again)
        assert packet["rounds"][0]["proposed"] == "a draft that was held back"
        said = json.dumps(packet)
        assert "key-77" not in said
        assert "abcdefgh" not in said


def test_who_the_customer_is_comes_from_the_customers_own_record() -> None:
    others = {"customer_id": "cus_2", "name": "Eve", "email": "eve@else.example"}
    own = {"customer_id": "cus_1", "name": "Ann", "since": "2019", "debts": {"a": 1}}
    found = run(
        call("track_parcel", order_id="ord_7"),
        REFUND,
        tools={"track_parcel": {"people": [others, own]}},
    )
    told = {each["label"]: each["value"] for each in packet_of(found)["about_customer"]}
    assert told == {"Customer ID": "cus_1", "Name": "Ann", "Since": "2019"}
    assert packet_of(found, customer="cus_3")["about_customer"] == []


def test_a_packet_stays_small_whatever_a_tool_gave_back_and_says_what_it_left_out() -> None:
    rows = [{"note": "ä" * 50_000, "deep": [[[[[[[[[[["x"] * 99]]]]]]]]]]}] * 25
    found = run(
        call("track_parcel", order_id="ord_7"), REFUND, tools={"track_parcel": {"rows": rows}}
    )
    packet = packet_of(found, data={"note": "n" * 100_000}, input="i" * 100_000)
    assert size_of(packet) <= MAX_PACKET_BYTES
    assert "more characters, see the task's timeline" in packet["request"]
    assert packet["proposal"]["arguments"] == {"order_id": "ord_7", "amount_usd": "50.01"}


def test_what_a_decision_is_bound_to_is_never_cut() -> None:
    packet = fitted(
        {"proposal": {"answer": "a" * 50_000}, "found": ["f" * 50_000] * 50},
        whole=frozenset({"proposal"}),
    )
    assert packet["proposal"]["answer"] == "a" * 50_000
    assert size_of(packet) <= MAX_PACKET_BYTES


@pytest.mark.parametrize("depth", [100, 330, 480, 950])
def test_nesting_without_end_stops_no_packet(depth: int) -> None:
    deep: Any = "x\x00"
    for level in range(depth):
        deep = {"a": deep} if level % 2 else [deep]
    envelope = build_envelope(tenant="acme", agent="parcels", input=TEXT)
    for name in ("refund_order", "unknown"):
        packet = build_packet(
            envelope,
            [],
            agent="parcels",
            release=None,
            reason="r",
            proposal={"tool": name, "arguments": {"deep": deep}, "plan": 1, "call": 0},
            confidence=None,
            made_by=RELEASE,
        )
        assert "…" in packet["action"]["line"]
        json.dumps(packet)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, categories=None))
    | st.builds(lambda c, n: c * n, st.sampled_from("aä\x00\ud800😀"), st.integers(0, 60_000)),
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.dictionaries(st.text(st.characters(codec=None, categories=None)), inner, max_size=8)
        | st.builds(lambda each, n: [each] * n, inner, st.integers(0, 400))
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["request", "data", "found", "why"]), JSON))
def test_any_packet_fits_and_can_be_stored(packet: dict[str, Any]) -> None:
    made = fitted(packet)
    text = json.dumps(made, ensure_ascii=False, allow_nan=False)
    assert len(text.encode("utf-8")) <= MAX_PACKET_BYTES  # strict: no lone surrogate is left
    assert "\\u0000" not in text
    assert made.keys() == packet.keys()


def test_short_values_stand_as_they_are() -> None:
    packet = {"a": {"b": [1, 2.5, None, True, "ü"]}, "c": "text"}
    assert fitted(packet) == packet
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 12_410, 10) == (
        "aaaaaaaaaa … 12,400 more characters, see the task's timeline"
    )


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("refund_payment", "Refund payment"),
        ("getUserByID", "Get user by ID"),
        ("payment_id", "Payment ID"),
        ("crm.list-open.orders", "Crm list open orders"),
        ("", ""),
    ],
)
def test_names_become_words(name: str, title: str) -> None:
    assert title_of(name) == title


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("49.00", "49.00 USD"),
        (1240, "1,240.00 USD"),
        (0.125, "0.125 USD"),
        ("NaN", "NaN"),
        ("1e999999", "1e999999"),
        (None, "nothing"),
        ({"a": 1}, "A: 1"),
    ],
)
def test_money_is_told_in_its_currency(amount: object, words: str) -> None:
    assert money_words(amount) == words


def test_calls_with_very_many_arguments_stay_one_line() -> None:
    line = call_words("t", {f"a{n}": n for n in range(100)})
    assert line.endswith("and 88 more)")
    assert time_words("yesterday") == "yesterday"
