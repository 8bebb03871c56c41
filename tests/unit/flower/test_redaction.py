"""What Flower may know of an event or of a worker's answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.flower.redaction import HIDDEN, redact_event, redact_reply

SECRET = "my card is 4111 1111 1111 1111"
ENVELOPE = {"tenant": "acme", "input": SECRET}

SENT = {
    "type": "task-sent",
    "uuid": "7e0d",
    "name": "agent.billing",
    "args": f"[{ENVELOPE}]",
    "kwargs": "{}",
    "queue": "agent.billing",
    "hostname": "gen1@shop",
    "timestamp": 1.0,
}


def test_arguments_of_an_event_are_hidden_and_the_rest_is_as_it_was() -> None:
    shown = redact_event(SENT)
    assert SECRET not in str(shown)
    assert shown == {**SENT, "args": HIDDEN, "kwargs": HIDDEN}


def test_an_event_of_a_worker_is_unchanged() -> None:
    heartbeat = {"type": "worker-heartbeat", "hostname": "billing.7@host", "active": 3}
    assert redact_event(heartbeat) == heartbeat


@pytest.mark.parametrize(
    ("exception", "shown"),
    [
        (f"ValueError('{SECRET}')", "ValueError"),
        (f"psycopg.errors.DataError: {SECRET}", "psycopg.errors.DataError"),
        ("Reject", "Reject"),
        (SECRET, HIDDEN),
        (f"{SECRET}: no", HIDDEN),
    ],
)
def test_of_an_exception_the_class_is_left(exception: str, shown: str) -> None:
    failed = {"type": "task-failed", "uuid": "1", "exception": exception, "traceback": SECRET}
    assert redact_event(failed) == {"type": "task-failed", "uuid": "1", "exception": shown}


def test_arguments_in_a_workers_answer_are_hidden_at_any_depth() -> None:
    reserved: list[dict[str, Any]] = [{"id": "1", "name": "agent.billing", "args": [ENVELOPE]}]
    scheduled = [{"eta": None, "request": {"args": [ENVELOPE], "kwargs": {}, "id": "1"}}]
    assert redact_reply(reserved) == [{"id": "1", "name": "agent.billing", "args": HIDDEN}]
    assert redact_reply(scheduled)[0]["request"] == {"args": HIDDEN, "kwargs": {}, "id": "1"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.text(), _JSON, max_size=5), args=_JSON)
def test_no_shape_of_a_message_breaks_it_or_shows_arguments(
    fields: dict[str, Any], args: Any
) -> None:
    for shown in (
        redact_event({**fields, "args": [SECRET, args]}),
        redact_reply([{**fields, "args": {"deep": [SECRET, args]}}])[0],
    ):
        assert shown["args"] == HIDDEN
