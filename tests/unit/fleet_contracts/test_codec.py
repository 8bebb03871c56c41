"""The wire form: what Celery reads back is the envelope that was sent."""

import json

import pytest
from celery import Celery
from kombu.transport.memory import Channel as MemoryChannel

from fleet_contracts.codec import SUBMITTED_HEADER, TRACE_HEADER, encode_task
from fleet_contracts.envelope import build_envelope, parse_envelope
from fleet_contracts.topology import agent_address, dead_address

_ENVELOPE = build_envelope(tenant="acme", agent="billing", input="Zażółć 🎉", data={"n": 1})


def test_the_body_is_celerys_and_holds_the_envelope() -> None:
    arguments, keywords, embedded = json.loads(encode_task(_ENVELOPE).body)
    assert parse_envelope(arguments[0]) == _ENVELOPE
    assert keywords == {}
    assert set(embedded) == {"callbacks", "errbacks", "chain", "chord"}


def test_id_task_and_trace_stand_in_the_headers() -> None:
    message = encode_task(_ENVELOPE, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    assert message.headers["id"] == message.properties["correlation_id"] == str(_ENVELOPE.id)
    assert message.headers["task"] == message.routing_key == "agent.billing"
    assert message.headers[TRACE_HEADER].startswith("00-")
    assert message.properties["delivery_mode"] == 2
    assert TRACE_HEADER not in encode_task(_ENVELOPE).headers


def test_the_fleets_choice_of_agent_outweighs_the_envelopes() -> None:
    message = encode_task(_ENVELOPE, agent="onboarding")
    assert message.routing_key == message.headers["task"] == "agent.onboarding"


def test_a_celery_client_sends_the_same_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, object]] = []
    monkeypatch.setattr(MemoryChannel, "_put", lambda _s, _q, message, **_k: sent.append(message))
    app = Celery(broker="memory://", set_as_current=False)
    app.send_task("agent.billing", [_ENVELOPE.to_dict()], task_id=str(_ENVELOPE.id), queue="q")
    app.close()
    ours = encode_task(_ENVELOPE)
    theirs = sent[0]
    own = {TRACE_HEADER, SUBMITTED_HEADER}
    assert set(ours.headers) <= {*theirs["headers"], *own}  # type: ignore[misc]
    assert theirs["content-type"] == ours.properties["content_type"]


def test_no_address_is_a_dotted_suffix_of_another() -> None:
    agents = ["billing", "vip_billing", "auto", "agent"]
    addresses = [agent_address(agent) for agent in agents]
    addresses += [dead_address(agent) for agent in agents]
    for one in addresses:
        assert not any(other.endswith(f".{one}") for other in addresses)
