"""Envelopes: what goes in comes out, and what cannot be read is refused with a remedy."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.envelope import (
    MAX_ENVELOPE_BYTES,
    Priority,
    TaskEnvelope,
    build_envelope,
    parse_envelope,
)
from fleet_contracts.errors import InvalidEnvelope
from fleet_contracts.ids import task_id_for_key

# What the envelope allows in a text: no control characters but tab and line ends, no surrogates.
_clean = st.text(st.characters(exclude_categories=("Cc", "Cs"), include_characters="\t\n\r"))
_short = _clean.filter(lambda text: 0 < len(text) <= 200)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _clean,
    lambda inner: st.lists(inner) | st.dictionaries(_clean, inner),
    max_leaves=15,
)
_envelopes = st.builds(
    build_envelope,
    tenant=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True),
    agent=st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True),
    input=_clean.filter(lambda text: bool(text.strip())),
    data=st.dictionaries(_clean, _json, max_size=4),
    customer=st.none() | _short,
    session_id=st.none() | _short,
    priority=st.sampled_from(Priority),
    idempotency_key=st.none() | _short,
    deadline=st.none() | st.datetimes(timezones=st.just(UTC)),
    metadata=st.dictionaries(_short, _clean, max_size=4),
    budget_usd=st.none() | st.decimals("0.000001", "99999", places=6),
)
_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.just(object())
    | st.datetimes(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner)
    ),
    max_leaves=10,
)


@given(_envelopes)
def test_an_envelope_survives_its_journey_unchanged(envelope: TaskEnvelope) -> None:
    for payload in (envelope.to_json(), envelope.to_json().encode(), envelope.to_dict()):
        arrived = parse_envelope(payload)
        assert arrived == envelope
        assert arrived.content_hash == envelope.content_hash


@given(_anything)
def test_garbage_raises_nothing_but_invalid_envelope(garbage: object) -> None:
    with pytest.raises(InvalidEnvelope):
        parse_envelope(garbage)


@given(st.dictionaries(st.sampled_from(list(TaskEnvelope.model_fields)), _anything), st.booleans())
def test_garbage_in_fields_raises_nothing_but_invalid_envelope(
    fields: dict[str, Any], complete: bool
) -> None:
    if complete:
        fields = {**fields, "tenant": "acme", "input": "hello"}
    try:
        envelope = parse_envelope(fields)
    except InvalidEnvelope:
        return
    assert parse_envelope(envelope.to_json()) == envelope


@pytest.mark.parametrize(
    "payload",
    [
        "[" * 100_000,
        '{"tenant":"acme","input":"hi","data":{"x":Infinity}}',
        '{"tenant":"acme","input":"hi","data":{"x":' + "9" * 5000 + "}}",
        '{"tenant":"acme","input":"\\ud800"}',
        b"\xff\xfe{",
        {"tenant": "acme", "input": "hi", "schema_version": 10**5000},
        {"tenant": "acme", "input": "hi", "data": {"x": {"a\x00"}}},
    ],
)
def test_known_traps_are_refused(payload: object) -> None:
    with pytest.raises(InvalidEnvelope):
        parse_envelope(payload)


def test_data_that_holds_itself_is_refused() -> None:
    data: dict[str, Any] = {}
    data["self"] = data
    with pytest.raises(InvalidEnvelope, match="data"):
        build_envelope(tenant="acme", input="hi", data=data)


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"input": "  \n"}, "send the customer's words"),
        ({"input": "a\x07b"}, r"U\+0007: remove control characters"),
        ({"data": {"a": ["\x00"]}}, r"data\.a\[0\] contains the control character"),
        ({"data": {"a": float("nan")}}, "finite numbers"),
        ({"colour": "red"}, "colour is not a field .* put it under data or metadata"),
        ({"schema_version": 2}, "send version 1"),
        ({"schema_version": True}, "send version 1"),
        ({"deadline": "2026-01-01T00:00:00"}, "timezone"),
        ({"budget_usd": 0}, "greater than 0"),
        ({"agent": "Billing"}, "agent"),
        ({"agent": "billing\n"}, "agent"),
        ({"reply_to": "agent.billing"}, "reply_to"),
    ],
)
def test_each_fault_names_its_field_and_remedy(fields: dict[str, Any], remedy: str) -> None:
    with pytest.raises(InvalidEnvelope, match=remedy):
        parse_envelope({"tenant": "acme", "input": "hello", **fields})


def test_a_wrong_tenant_is_the_only_fault_named() -> None:
    with pytest.raises(InvalidEnvelope) as caught:
        build_envelope(tenant="ACME!", input="hello")
    assert str(caught.value).count(";") == 0


def test_the_limit_counts_bytes_and_says_what_to_do() -> None:
    build_envelope(tenant="acme", input="x" * (MAX_ENVELOPE_BYTES - 1000))
    with pytest.raises(InvalidEnvelope, match="shorten the text"):
        build_envelope(tenant="acme", input="é" * (MAX_ENVELOPE_BYTES // 2))
    with pytest.raises(InvalidEnvelope, match="limit"):
        parse_envelope(b" " * (MAX_ENVELOPE_BYTES + 1))


def test_an_idempotency_key_gives_the_id_per_tenant() -> None:
    first = build_envelope(tenant="acme", input="hello", idempotency_key="k")
    again = build_envelope(tenant="acme", input="hello", idempotency_key="k")
    other = build_envelope(tenant="globex", input="hello", idempotency_key="k")
    assert first.id == again.id == task_id_for_key("acme", "k")
    assert other.id != first.id


def test_the_content_hash_ignores_the_id_only() -> None:
    first = build_envelope(tenant="acme", input="hello")
    assert first.id != build_envelope(tenant="acme", input="hello").id
    assert first.content_hash == build_envelope(tenant="acme", input="hello").content_hash
    assert first.content_hash != build_envelope(tenant="acme", input="hello!").content_hash


def test_money_and_time_keep_their_exact_value() -> None:
    deadline = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    envelope = build_envelope(tenant="acme", input="x", budget_usd="0.100000", deadline=deadline)
    arrived = parse_envelope(json.loads(envelope.to_json()))
    assert arrived.budget_usd == Decimal("0.1")
    assert arrived.deadline == deadline


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"not_before": "2026-12-01T08:00:00"}, "timezone"),
        ({"not_before": datetime.now(UTC) + timedelta(days=400)}, "submit the task later"),
        ({"not_before": "9999-12-31T23:59:59-23:00"}, "submit the task later"),
        (
            {"not_before": datetime.now(UTC), "deadline": datetime.now(UTC) - timedelta(days=1)},
            "move one of them",
        ),
        ({"debounce_key": "order 17"}, "say how long"),
        ({"debounce_seconds": 5}, "needs a debounce_key"),
        ({"debounce_max_seconds": 5}, "needs a debounce_key"),
        ({"debounce_key": "k", "debounce_seconds": 0}, "greater than 0"),
        ({"debounce_key": "k", "debounce_seconds": 90_000}, "less than or equal to 86400"),
        ({"debounce_key": "k", "debounce_seconds": float("nan")}, "finite"),
        ({"debounce_key": "k", "debounce_seconds": "soon"}, "valid number"),
        ({"debounce_key": "k" * 201, "debounce_seconds": 5}, "200 characters"),
        (
            {"debounce_key": "k", "debounce_seconds": 5, "debounce_max_seconds": 4},
            "as long at least",
        ),
        (
            {"debounce_key": "k", "debounce_seconds": 5, "not_before": datetime.now(UTC)},
            "send one of them",
        ),
    ],
)
def test_times_that_make_no_sense_are_refused_with_a_remedy(
    fields: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(InvalidEnvelope, match=remedy):
        build_envelope(tenant="acme", input="x", **fields)


def test_the_oldest_time_is_a_time_that_has_passed() -> None:
    envelope = build_envelope(tenant="acme", input="x", not_before="0001-01-01T00:00:00+23:00")
    assert parse_envelope(envelope.to_json()) == envelope


def test_an_envelope_without_times_is_what_earlier_workers_read() -> None:
    names = build_envelope(tenant="acme", input="x").to_dict()
    assert not any(name.startswith(("not_before", "debounce")) for name in names)


def test_a_repeat_that_asks_for_a_later_start_is_the_same_request() -> None:
    first, repeat = (
        build_envelope(
            tenant="acme", input="x", idempotency_key="k", not_before=datetime.now(UTC) + wait
        )
        for wait in (timedelta(minutes=10), timedelta(minutes=11))
    )
    assert (first.id, first.content_hash) == (repeat.id, repeat.content_hash)


def test_a_debounced_task_waits_for_ten_windows_unless_told_otherwise() -> None:
    fields = {"tenant": "acme", "input": "x", "debounce_key": "k", "debounce_seconds": 2}
    assert build_envelope(**fields).longest_window_seconds == 20
    assert build_envelope(**fields, debounce_max_seconds=3).longest_window_seconds == 3
