"""The client over HTTP, against a real local server."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from fleet_client import Debounce, FleetClient
from fleet_contracts import errors
from fleet_contracts.ids import task_id_for_key
from fleet_contracts.states import TaskState
from support.fleet_api_stub import Answer, FleetApiStub, Received

_ID = UUID("0192d0c0-0000-7000-8000-000000000001")


def _view(state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {
        "id": str(_ID), "tenant": "acme", "agent": "billing", "requested_agent": "auto",
        "state": state, "created_at": datetime.now(tz=UTC).isoformat(), **more,
    }  # fmt: skip


def _accept(received: Received) -> Answer:
    return Answer(status=202, body={"id": received.body.get("id", str(_ID)), "state": "queued"})


def _problem(status: int, code: str, **more: Any) -> Answer:
    body = {"type": f"urn:{code}", "title": "T", "status": status, "detail": "Do X.", "code": code}
    return Answer(status=status, body=body, **more)


def _client(stub: FleetApiStub, **more: Any) -> FleetClient:
    return FleetClient(api_url=stub.url, api_key="secret", **more)


def test_submit_sends_the_envelope_and_gives_the_servers_id() -> None:
    with FleetApiStub(_accept) as stub, _client(stub) as client:
        handle = client.submit("Refund?", agent="billing", customer="c1", data={"invoice": "I-1"})
        sent = stub.received[0]
        assert (sent.method, sent.path) == ("POST", "/v1/tasks")
        assert sent.headers["authorization"] == "Bearer secret"
        assert "tenant" not in sent.body
        assert sent.body["input"] == "Refund?"
        assert sent.body["data"] == {"invoice": "I-1"}
        assert str(handle.id) == sent.body["id"]


def test_the_location_names_the_task_where_the_body_does_not() -> None:
    answer = Answer(status=202, body={}, headers={"Location": f"/v1/tasks/{_ID}"})
    with FleetApiStub(answer) as stub, _client(stub) as client:
        assert client.submit("x").id == _ID


def test_an_idempotency_key_travels_as_header_and_gives_the_id_with_its_tenant() -> None:
    with FleetApiStub(_accept) as stub, _client(stub) as client:
        client.submit("x", idempotency_key="k")
        client.submit("x", idempotency_key="k", tenant="acme")
        without, with_tenant = stub.received
        assert without.headers["idempotency-key"] == with_tenant.headers["idempotency-key"] == "k"
        assert "id" not in without.body  # it follows from a tenant that only the server knows
        assert with_tenant.body["id"] == str(task_id_for_key("acme", "k"))


def test_a_key_that_no_header_can_carry_goes_in_the_body() -> None:
    with FleetApiStub(_accept) as stub, _client(stub) as client:
        client.submit("x", idempotency_key="ключ")
        assert stub.received[0].body["idempotency_key"] == "ключ"


def test_a_bad_task_is_refused_before_anything_is_sent() -> None:
    with FleetApiStub(_accept) as stub, _client(stub) as client:
        with pytest.raises(errors.InvalidEnvelope, match="customer's words"):
            client.submit("   ")
        assert not stub.received


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_problem(401, "unauthorized"), errors.Unauthorized),
        (_problem(403, "forbidden"), errors.Unauthorized),
        (_problem(404, "unknown_task"), errors.UnknownTask),
        (_problem(409, "conflict"), errors.Conflict),
        (_problem(409, "being_taken"), errors.Unavailable),
        (_problem(413, "too_large"), errors.InvalidEnvelope),
        (_problem(422, "conflict"), errors.Conflict),
        (_problem(422, "invalid_envelope"), errors.InvalidEnvelope),
        (_problem(422, "unknown_agent"), errors.UnknownAgent),
        (_problem(422, "unknown_tenant"), errors.UnknownTenant),
        (_problem(422, "of_a_newer_server"), errors.InvalidInput),
        (_problem(500, "internal"), errors.Unavailable),
        (_problem(504, "timed_out"), errors.TimedOut),
    ],
)
def test_a_problem_becomes_the_error_of_its_code(
    answer: Answer, kind: type[errors.FleetError]
) -> None:
    with FleetApiStub(answer) as stub, _client(stub) as client:
        with pytest.raises(kind, match=r"Do X\.") as caught:
            client.submit("x")
        assert type(caught.value) is kind


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("body", [b"<html>busy</html>", {"title": "busy", "code": "unavailable"}])
def test_an_overloaded_server_says_when_to_come_back(status: int, body: Any) -> None:
    answer = Answer(status=status, body=body, headers={"Retry-After": "7"})
    with FleetApiStub(answer) as stub, _client(stub) as client:
        with pytest.raises(errors.Unavailable) as caught:
            client.submit("x")
        assert caught.value.retry_after_seconds == 7
        assert caught.value.retryable


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>hello</html>"),
        Answer(body=b""),
        Answer(body=b"\xff\x00"),
        Answer(body=[1]),
        Answer(body={"id": "not-an-id"}),
        Answer(body=b"[" * 100_000),
        Answer(status=404, body=b"nginx"),
        _problem(404, "not_found"),
    ],
)
def test_a_garbage_answer_names_the_address_as_suspect(answer: Answer) -> None:
    with FleetApiStub(answer) as stub, _client(stub) as client:
        for ask in (lambda: client.submit("x"), lambda: client.status(_ID)):
            with pytest.raises(errors.PermanentError, match="api_url"):
                ask()


def test_a_redirect_is_a_wrong_address() -> None:
    answer = Answer(status=301, headers={"Location": "https://elsewhere.example/"})
    with (
        FleetApiStub(answer) as stub,
        _client(stub) as client,
        pytest.raises(errors.ConfigurationError, match="elsewhere"),
    ):
        client.submit("x")


def test_a_server_that_is_down_is_named() -> None:
    client = FleetClient(api_url="http://127.0.0.1:1")
    with client, pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1"):
        client.submit("x")


def test_a_slow_server_times_out() -> None:
    slow = Answer(status=202, delay_seconds=1.0)
    with FleetApiStub(slow) as stub, _client(stub, timeout=0.2) as client:
        began = time.monotonic()
        with pytest.raises(errors.TimedOut, match="idempotency key"):
            client.submit("x")
        assert time.monotonic() - began < 0.9


def test_a_broken_connection_is_tried_once_more_with_the_same_id() -> None:
    with FleetApiStub(Answer(cut=True), _accept) as stub, _client(stub) as client:
        handle = client.submit("x")
        assert [one.body["id"] for one in stub.received] == [str(handle.id)] * 2
    with FleetApiStub(Answer(cut=True)) as stub, _client(stub) as client:
        with pytest.raises(errors.Unavailable):
            client.submit("x")
        assert len(stub.received) == 2


def test_wait_holds_the_line_until_the_task_is_settled() -> None:
    outcome = {"kind": "answered", "answer": "Done.", "confidence": 0.9}
    answers = (
        Answer(body=_view("queued")),
        Answer(body=_view("running"), delay_seconds=0.2),
        Answer(body=_view("succeeded", outcome=outcome)),
    )
    with FleetApiStub(*answers) as stub, _client(stub) as client:
        view = client.wait(_ID, timeout=10)
        assert view.outcome is not None
        assert view.outcome.answer == "Done."
        assert stub.received[0].path == f"/v1/tasks/{_ID}?wait_seconds=10.0"


@pytest.mark.parametrize("state", ["in_review", "dead", "rejected", "cancelled", "expired"])
def test_wait_ends_wherever_nothing_more_happens_by_itself(state: str) -> None:
    with FleetApiStub(Answer(body=_view(state))) as stub, _client(stub) as client:
        assert client.wait(_ID, timeout=5).state is TaskState(state)


def test_wait_rides_out_a_restart_but_not_a_refusal() -> None:
    restart = (Answer(status=503, body=b"x"), Answer(cut=True), Answer(cut=True))
    with FleetApiStub(*restart, Answer(body=_view())) as stub, _client(stub) as client:
        assert client.wait(_ID, timeout=10).settled
    for refusal, kind in (
        (_problem(401, "unauthorized"), errors.Unauthorized),
        (_problem(404, "unknown_task"), errors.UnknownTask),
    ):
        with FleetApiStub(refusal) as stub, _client(stub) as client, pytest.raises(kind):
            client.wait(_ID, timeout=10)


def test_wait_gives_up_in_time_and_says_that_the_task_goes_on() -> None:
    with FleetApiStub(Answer(body=_view("running"))) as stub, _client(stub) as client:
        began = time.monotonic()
        with pytest.raises(errors.TimedOut, match="goes on"):
            client.wait(_ID, timeout=0.5)
        assert 0.4 < time.monotonic() - began < 1.5
        assert len(stub.received) < 10  # no hammering of a server that does not hold


def test_cancel_and_journal() -> None:
    steps = [{"seq": 1, "kind": "plan", "name": "plan", "state": "done"}]
    with (
        FleetApiStub(
            Answer(body=_view("cancelled")),
            Answer(body=_view("cancelled")),
            Answer(body={"steps": steps}),
        ) as stub,
        _client(stub) as client,
    ):
        assert client.cancel(str(_ID)).state is TaskState.CANCELLED
        assert client.journal(_ID) == steps
        assert [one.method for one in stub.received] == ["POST", "GET", "GET"]


def test_what_is_no_task_id_never_leaves_the_client() -> None:
    with FleetApiStub(Answer(body=_view())) as stub, _client(stub) as client:
        for wrong in ("", "nonsense", "../tenants", "1?wait_seconds=9"):
            with pytest.raises(errors.InvalidInput, match="no task id"):
                client.status(wrong)
        assert not stub.received


def _bulk(refuse: Callable[[dict[str, Any]], bool]) -> Callable[[Received], Answer]:
    def answer(received: Received) -> Answer:
        results = [
            {"id": None, "status": "error", "error": {"code": "unknown_agent", "detail": "No."}}
            if refuse(task)
            else {"id": task["id"], "status": "accepted", "error": None}
            for task in received.body["tasks"]
        ]
        return Answer(body={"results": results})

    return answer


def test_one_bad_item_of_a_bulk_does_not_lose_the_others() -> None:
    server = _bulk(lambda task: task["agent"] == "nobody")
    items: list[Any] = ["one", {"text": " "}, {"text": "two", "agent": "nobody"}, 7,
                        {"agent": "billing"}, {"text": "three", "priority": "bulk"},
                        {"text": "four", 5: 6}]  # fmt: skip
    with FleetApiStub(server) as stub, _client(stub) as client:
        results = client.submit_many(items)
        assert [result.ok for result in results] == [True, False, False, False, False, True, False]
        assert isinstance(results[1].error, errors.InvalidEnvelope)
        assert isinstance(results[2].error, errors.UnknownAgent)
        assert results[5].handle is not None
        assert len(stub.received) == 1


def test_a_long_bulk_is_cut_and_keeps_its_order() -> None:
    with FleetApiStub(_bulk(lambda _task: False)) as stub, _client(stub) as client:
        results = client.submit_many({"text": f"task {number}"} for number in range(250))
        sent = [task for one in stub.received for task in one.body["tasks"]]
        assert len(stub.received) == 3
        assert [str(result.handle.id) for result in results if result.handle] == [
            task["id"] for task in sent
        ]
        assert sent[249]["input"] == "task 249"


def test_an_outage_in_a_bulk_is_said_of_each_task_that_it_hit() -> None:
    answers = (_bulk(lambda _task: False), Answer(status=503, body=b""))
    with FleetApiStub(*answers) as stub, _client(stub) as client:
        results = client.submit_many(f"task {number}" for number in range(320))
        assert [result.ok for result in results] == [True] * 100 + [False] * 220
        assert isinstance(results[-1].error, errors.Unavailable)
        assert len(stub.received) == 2


def test_a_bulk_answer_of_the_wrong_length_is_garbage() -> None:
    with FleetApiStub(Answer(body={"results": []})) as stub, _client(stub) as client:
        (result,) = client.submit_many(["x"])
        assert isinstance(result.error, errors.PermanentError)


def test_without_an_api_following_names_the_remedy() -> None:
    client = FleetClient("memory://", tenant="acme")
    with client, pytest.raises(errors.ConfigurationError, match="FLEET_API_URL"):
        client.wait(uuid4())


def test_a_delay_is_a_time_and_a_debounce_is_three_fields() -> None:
    begun = datetime.now(tz=UTC)
    with FleetApiStub(_accept) as stub, _client(stub) as client:
        client.submit("x", delay=90)
        client.submit("x", delay=timedelta(minutes=2))
        client.submit("x", not_before=begun)
        client.submit("x", debounce=Debounce(key="order 17", seconds=5, max_seconds=60))
        delayed, later, at_once, debounced = (each.body for each in stub.received)
    for body, seconds in ((delayed, 90), (later, 120), (at_once, 0)):
        wait = datetime.fromisoformat(body["not_before"]) - begun
        assert seconds <= wait.total_seconds() < seconds + 30
    assert debounced["debounce_key"] == "order 17"
    assert (debounced["debounce_seconds"], debounced["debounce_max_seconds"]) == (5, 60)
    assert "not_before" not in debounced


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"delay": 1e300}, "a year at most"),
        ({"delay": "soon"}, "give seconds"),
        ({"delay": float("nan")}, "give seconds"),
        ({"delay": 400 * 86_400}, "submit the task later"),
        ({"delay": 1, "not_before": datetime.now(tz=UTC)}, "give one of them"),
        ({"debounce": "order 17"}, "Debounce"),
        ({"debounce": Debounce(key="", seconds=5)}, "debounce_key"),
    ],
)
def test_times_that_make_no_sense_are_refused_before_anything_is_sent(
    options: dict[str, Any], remedy: str
) -> None:
    with FleetApiStub(_accept) as stub, _client(stub) as client:
        with pytest.raises(errors.InvalidInput, match=remedy):
            client.submit("x", **options)
        assert stub.received == []


def test_whoever_waits_for_a_replaced_task_is_told_or_follows_it() -> None:
    following = str(uuid4())
    outcome = {"kind": "cancelled", "reason": f"Replaced by {following}.", "replaced_by": following}

    def answer(received: Received) -> Answer:
        if following in received.path:
            return Answer(body=_view(id=following))
        return Answer(body=_view("cancelled", outcome=outcome))

    with FleetApiStub(answer) as stub, _client(stub) as client:
        told = client.wait(_ID)
        assert told.state is TaskState.CANCELLED
        assert told.outcome is not None
        assert str(told.outcome.replaced_by) == following
        assert str(client.wait(_ID, follow=True).id) == following
