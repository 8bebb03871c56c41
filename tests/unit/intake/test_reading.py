"""What a message of the intake says, and who may say it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.errors import ConfigurationError, FleetError, InvalidEnvelope, Unauthorized
from fleet_contracts.ids import task_id_for_key
from fleet_workers.intake.publishers import Publishers
from fleet_workers.intake.reading import IntakeMessage, read_task

ANYBODY = Publishers.of(())
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TASK = {"tenant": "acme", "agent": "billing", "input": "Hello"}


def message(fields: object = TASK, **properties: Any) -> IntakeMessage:
    given_properties: dict[str, Any] = {"headers": {}, **properties}
    return IntakeMessage(body=json.dumps(fields).encode(), **given_properties)


def test_properties_serve_where_the_body_says_nothing() -> None:
    task = read_task(
        message(
            headers={"traceparent": TRACE.encode()},
            message_id="m-1",
            correlation_id="c-1",
            reply_to="reply.shop",
        ),
        ANYBODY,
    )
    envelope = task.envelope
    assert envelope.id == task_id_for_key("acme", "m-1")
    assert (envelope.reply_to, envelope.metadata) == ("reply.shop", {"correlation_id": "c-1"})
    assert (task.traceparent, task.content) == (TRACE, None)


def test_what_the_body_says_goes_first() -> None:
    own = {
        **TASK,
        "idempotency_key": "k",
        "reply_to": "reply.a",
        "metadata": {"correlation_id": "mine", "order": "7"},
    }
    found = read_task(
        message(own, message_id="m", correlation_id="c", reply_to="reply.b"), ANYBODY
    ).envelope
    assert (found.idempotency_key, found.reply_to) == ("k", "reply.a")
    assert found.metadata == {"correlation_id": "mine", "order": "7"}


def test_a_message_with_an_id_of_its_own_is_not_known_by_amqps() -> None:
    task_id = "0199d0f0-0000-7000-8000-000000000001"
    found = read_task(message({**TASK, "id": task_id}, message_id="m"), ANYBODY)
    assert (str(found.envelope.id), found.envelope.idempotency_key) == (task_id, None)


def test_what_names_nothing_is_known_by_its_content() -> None:
    first, again, other = (
        read_task(message(each), ANYBODY) for each in (TASK, TASK, {**TASK, "input": "Other"})
    )
    assert first.content == again.content != other.content
    assert first.envelope.id != again.envelope.id


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"reply_to": "amq.gen-7"}, "reply_to"),
        ({"message_id": "x" * 201}, "idempotency_key"),
        ({"content_encoding": "gzip"}, "send plain UTF-8"),
        ({"message_id": b"\xff"}, "idempotency_key"),
        ({"correlation_id": b"\xff"}, "metadata"),
        ({"content_encoding": b"\xff"}, "send plain UTF-8"),
    ],
)
def test_properties_that_cannot_be_taken_are_told(properties: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidEnvelope, match=why):
        read_task(message(**properties), ANYBODY)


def test_a_trace_that_is_none_is_left_out() -> None:
    for wrong in ("x", 7, None, b"\xff", ["a"]):
        assert read_task(message(headers={"traceparent": wrong}), ANYBODY).traceparent is None


@pytest.mark.parametrize(
    ("user", "named", "tenant"),
    [
        ("shop", None, "acme"),
        ("shop", "acme", "acme"),
        ("ops", "globex", "globex"),
    ],
)
def test_users_are_of_tenants(user: str, named: str | None, tenant: str) -> None:
    publishers = Publishers.of(("shop=acme", "ops=*"))
    fields = {"input": "Hello", **({"tenant": named} if named else {})}
    assert read_task(message(fields, user_id=user), publishers).envelope.tenant == tenant


@pytest.mark.parametrize(
    ("user", "named", "error"),
    [
        ("shop", "globex", "leave tenant out"),
        ("shop", 7, "leave tenant out"),
        ("stranger", "acme", "FLEET_INTAKE_USERS"),
        (None, "acme", "user_id"),
    ],
)
def test_others_are_refused(user: str | None, named: object, error: str) -> None:
    with pytest.raises(Unauthorized, match=error):
        read_task(message({**TASK, "tenant": named}, user_id=user), Publishers.of(("shop=acme",)))


def test_a_user_for_all_must_name_a_tenant() -> None:
    with pytest.raises(InvalidEnvelope, match="tenant is missing"):
        read_task(message({"input": "x"}, user_id="ops"), Publishers.of(("ops=*",)))


@pytest.mark.parametrize("wrong", ["shop", "=acme", "shop=", "shop=Acme Inc"])
def test_a_setting_that_cannot_be_read_is_told(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="FLEET_INTAKE_USERS"):
        Publishers.of((wrong,))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_task_or_is_refused(body: bytes) -> None:
    try:
        read_task(IntakeMessage(body=body, headers={}), ANYBODY)
    except FleetError as error:
        assert str(error)  # noqa: PT017 either is fine, another error is not


@given(name=st.sampled_from([*TASK, "id", "data", "metadata", "deadline", "priority"]), value=JSON)
def test_whatever_a_field_holds_it_is_a_task_or_is_refused(name: str, value: object) -> None:
    try:
        read_task(message({**TASK, name: value}, correlation_id="c"), ANYBODY)
    except FleetError as error:
        assert str(error)  # noqa: PT017 as above
