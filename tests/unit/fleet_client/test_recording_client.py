"""What users' own tests get: clients that record, and answer as scripted."""

import asyncio

import pytest

from fleet_client import FleetClient
from fleet_client.testing import AsyncRecordingClient, RecordingClient
from fleet_contracts.errors import Conflict, InvalidEnvelope, TimedOut, Unavailable, UnknownTask
from fleet_contracts.ids import new_task_id
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_contracts.states import TaskState


def _service_code(client: FleetClient) -> str:
    """Stands for a user's function, typed with the real client."""
    view = client.submit("Refund?", agent="billing", customer="c1").wait(timeout=1)
    return view.outcome.answer or "" if view.outcome else ""


def test_it_stands_in_for_the_client_and_records() -> None:
    client = RecordingClient()
    client.script(Outcome(kind=OutcomeKind.ANSWERED, answer="Refunded."))
    assert _service_code(client) == "Refunded."
    assert _service_code(client) == "recorded"
    assert [(one.agent, one.customer) for one in client.envelopes] == [("billing", "c1")] * 2


@pytest.mark.parametrize(
    ("kind", "state"), [("review", TaskState.IN_REVIEW), ("dead", TaskState.DEAD)]
)
def test_outcomes_decide_the_state(kind: str, state: TaskState) -> None:
    client = RecordingClient()
    client.script(Outcome(kind=OutcomeKind(kind), reason="because"))
    assert client.submit("x").status().state is state


def test_errors_and_silence_can_be_scripted() -> None:
    client = RecordingClient()
    client.script(Unavailable("down"), None)
    with pytest.raises(Unavailable, match="down"):
        client.submit("x")
    handle = client.submit("x")
    with pytest.raises(TimedOut):
        handle.wait(timeout=0.05)
    assert handle.cancel().state is TaskState.CANCELLED
    assert handle.journal() == []


def test_it_is_as_strict_as_a_fleet() -> None:
    client = RecordingClient()
    with pytest.raises(InvalidEnvelope):
        client.submit(" ")
    with pytest.raises(UnknownTask):
        client.status(new_task_id())
    first = client.submit("x", idempotency_key="k")
    assert client.submit("x", idempotency_key="k").id == first.id
    with pytest.raises(Conflict):
        client.submit("y", idempotency_key="k")
    assert len(client.envelopes) == 1
    results = client.submit_many(["one", {"text": ""}, {"text": "y", "idempotency_key": "k"}])
    assert [result.ok for result in results] == [True, False, False]


def test_the_asyncio_form() -> None:
    async def work() -> None:
        async with AsyncRecordingClient() as client:
            client.script(Outcome(kind=OutcomeKind.REVIEW, reason="unsure"))
            view = await (await client.submit("x")).wait(timeout=1)
            assert view.state is TaskState.IN_REVIEW
            assert len(client.envelopes) == 1

    asyncio.run(work())


def test_feedback_is_recorded_once_the_task_has_ended() -> None:
    client = RecordingClient()
    client.script(None)
    with pytest.raises(Conflict, match="once it has ended"):
        client.give_feedback(client.submit("x").id, "good")
    task_id = client.submit("x").id
    said = client.give_feedback(task_id, "bad", "Wrong.", flag=True)
    assert client.fleet.feedback == {task_id: said}
    assert (said.rating, said.comment, said.flag) == ("bad", "Wrong.", True)
    assert str(task_id) in client.feedback_link(task_id)
    again = AsyncRecordingClient()

    async def say() -> str:
        task = await again.submit("x")
        assert (await again.give_feedback(task.id, "good")).rating == "good"
        return await again.feedback_link(task.id)

    assert asyncio.run(say()).startswith("http")
