"""A refused message can be put aside whatever its properties hold."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pytest
from pika.spec import BasicProperties

from fleet_contracts.errors import InvalidEnvelope
from fleet_workers.intake.refusal import with_reason

ERROR = InvalidEnvelope("input is missing\ud800.")


def sent(came: pika.BasicProperties) -> pika.BasicProperties:
    """What a reader gets of it."""
    raw = b"".join(with_reason(came, ERROR).encode())
    assert len(raw) < 128 * 1024
    found: pika.BasicProperties = BasicProperties().decode(raw)
    return found


def test_the_reason_goes_along_and_what_the_broker_would_act_on_does_not() -> None:
    came = pika.BasicProperties(
        headers={"x-death": [{}], "x-delivery-count": 3, "fleet-reason": "old", "mine": "yes"},
        user_id="shop",
        expiration="1",
        message_id="m",
        correlation_id="c",
        reply_to="reply.a",
        type="t",
        app_id="a",
        content_type="text/plain",
        timestamp=7,
    )
    found = sent(came)
    assert found.headers == {
        "mine": "yes",
        "fleet-reason-code": "invalid_envelope",
        "fleet-reason": "input is missing\ufffd.",
        "fleet-user-id": "shop",
    }
    assert (found.user_id, found.expiration, found.delivery_mode) == (None, None, 2)
    names = ("message_id", "correlation_id", "reply_to", "type", "app_id", "timestamp")
    assert [getattr(found, name) for name in names] == ["m", "c", "reply.a", "t", "a", 7]


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        b"\xff",
        None,
        True,
        Decimal("1.5"),
        datetime(2026, 1, 1, tzinfo=UTC),
        {"a": [1.5]},
        2**70,
    ],
)
def test_headers_of_all_kinds_leave_the_queue(value: Any) -> None:
    came = pika.BasicProperties(headers={"strange": value, b"\xff": "x", "mine": "yes"})
    found = sent(came)
    assert found.headers["mine"] == "yes"
    assert found.headers["fleet-reason-code"] == "invalid_envelope"


def test_headers_that_fill_a_frame_are_left_out() -> None:
    found = sent(pika.BasicProperties(headers={"mine": "x" * 120_000}))
    assert set(found.headers) == {"fleet-reason-code", "fleet-reason"}


def test_properties_that_are_no_text_are_kept() -> None:
    came = pika.BasicProperties(message_id=b"\xff", user_id=b"\xfe", headers=None)
    found = sent(came)
    assert (found.message_id, found.headers["fleet-user-id"]) == (b"\xff", b"\xfe")
