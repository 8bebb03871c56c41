"""A worker that serves `auto` routes by examples, journals why, and pays for no model."""

import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.states import TaskState
from fleet_contracts.topology import agent_address
from fleet_workers.controller.reception import Delivery
from fleet_workers.settings import Settings
from fleet_workers.store.journal import Step, StepKind, read_steps
from fleet_workers.store.tables import tasks
from fleet_workers.wiring import WorkerParts, open_core, open_worker
from support.model_endpoint import Body, ModelEndpoint, Told, completion, model_endpoint, told
from support.stacks import Stack

_CLEAR = "Which invoices are still open on our account?"
_UNCLEAR = "It is about the thing of last week."


def answered(_path: str, body: Body) -> Told:
    """Chooses onboarding where agents are to be chosen among, else answers."""
    names = {each["function"]["name"] for each in body["tools"]}
    name, arguments = (
        ("send_to_onboarding", {"confidence": 0.9})
        if "send_to_onboarding" in names
        else ("ask_customer", {"question": "Which account is it about?"})
    )
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": "call_0", "type": "function", "function": function}
    return told(completion(None, tool_calls=[call]))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ModelEndpoint]:
    with model_endpoint(answered) as running:
        yield running


@pytest.fixture(scope="module")
def settings(rabbitmq_stack: Stack, endpoint: ModelEndpoint) -> Settings:
    return rabbitmq_stack.settings(
        embedding="lexical",
        model_small=("tested",),
        openai_base_url=endpoint.url,
        openai_api_key=SecretStr("any"),
    )


@pytest.fixture(scope="module")
def worker(settings: Settings) -> Iterator[WorkerParts]:
    with (
        open_core(settings, application="tests") as core,
        open_worker(core, serves=("billing", "auto")) as parts,
    ):
        yield parts


def work(worker: WorkerParts, text: str) -> TaskEnvelope:
    task = build_envelope(tenant="acme", agent="auto", input=text)
    worker.executor.deliver(Delivery(payload=task.to_dict(), queue=agent_address("auto")))
    return task


def triage_of(worker: WorkerParts, task: TaskEnvelope) -> tuple[str, list[Step]]:
    """The task's agent, and its steps."""
    with worker.core.engine.connect() as connection:
        agent = connection.execute(select(tasks.c.agent).where(tasks.c.id == task.id)).scalar_one()
        return str(agent), read_steps(connection, task.id)


def test_a_clear_request_goes_to_its_agent_without_a_model(
    worker: WorkerParts, endpoint: ModelEndpoint
) -> None:
    asked = len(endpoint.asked)
    task = work(worker, _CLEAR)
    agent, steps = triage_of(worker, task)
    assert agent == "billing"
    assert len(endpoint.asked) == asked
    verdict, moved = (step.result or {} for step in steps if step.kind is StepKind.TRIAGE)
    assert (verdict["by"], verdict["zone"], verdict["intent"]) == (
        "router",
        "sure",
        "open_invoices",
    )
    assert verdict["score"] > verdict["sure_above"]
    assert moved == {"agent": "billing", "by": "router"}
    # And its agent goes on with it.
    worker.executor.deliver(Delivery(payload=task.to_dict(), queue=agent_address("billing")))
    with worker.core.engine.connect() as connection:
        state = connection.execute(select(tasks.c.state).where(tasks.c.id == task.id)).scalar_one()
    assert state == TaskState.SUCCEEDED


def test_an_unclear_request_is_left_to_a_model(
    worker: WorkerParts, endpoint: ModelEndpoint
) -> None:
    asked = len(endpoint.asked)
    agent, steps = triage_of(worker, work(worker, _UNCLEAR))
    assert agent == "onboarding"
    assert len(endpoint.asked) == asked + 1
    verdict, moved = (step.result or {} for step in steps if step.kind is StepKind.TRIAGE)
    assert (verdict["zone"], moved["by"]) == ("unsure", "model")


def test_where_it_is_turned_off_a_model_chooses_always(
    settings: Settings, endpoint: ModelEndpoint
) -> None:
    off = settings.model_copy(update={"router": False})
    asked = len(endpoint.asked)
    with (
        open_core(off, application="tests") as core,
        open_worker(core, serves=("auto",)) as parts,
    ):
        agent, steps = triage_of(parts, work(parts, _CLEAR))
    assert agent == "onboarding"
    assert len(endpoint.asked) == asked + 1
    assert [step.name for step in steps if step.kind is StepKind.TRIAGE] == ["triage"]
