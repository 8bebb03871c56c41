"""A worker with two models climbs, pays for each call, and keeps to the budget of the task."""

import json
from collections.abc import Iterator
from decimal import Decimal

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_contracts.topology import agent_address
from fleet_workers.controller.reception import Delivery
from fleet_workers.store.journal import Step, StepKind, read_steps
from fleet_workers.store.money_tables import spend_entries
from fleet_workers.store.tables import reviews, tasks
from fleet_workers.wiring import WorkerParts, open_core, open_worker
from support.model_endpoint import Body, ModelEndpoint, Told, completion, model_endpoint, told
from support.stacks import Stack

MANIFEST = """
name = "climber"
title = "Helper"
description = "Tells what the shop does."

[limits]
answer_tokens = 100

[scope]
handles = ["What the shop does"]
never = ["Anything else"]
"""
PRICES = """as_of = 2026-11-01
[models.tiny]
input_usd = 1
output_usd = 10
[models.huge]
input_usd = 100
output_usd = 1000
"""
CONFIDENCE = {"tiny": 0.4, "huge": 0.95}


def answered(_path: str, body: Body) -> Told:
    model = body["model"]
    arguments = {"text": f"We sell plums, says {model}.", "confidence": CONFIDENCE[model]}
    function = {"name": "answer", "arguments": json.dumps(arguments)}
    call = {"id": "call_0", "type": "function", "function": function}
    return told(completion(None, model=model, tool_calls=[call]))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ModelEndpoint]:
    with model_endpoint(answered) as running:
        yield running


@pytest.fixture(scope="module")
def worker(
    rabbitmq_stack: Stack, endpoint: ModelEndpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerParts]:
    folder = tmp_path_factory.mktemp("climbing")
    agent = folder / "agents" / "climber"
    (agent / "prompts").mkdir(parents=True)
    (agent / "agent.toml").write_text(MANIFEST)
    (agent / "prompts" / "v1.md").write_text("You answer questions about the shop.")
    (folder / "prices.toml").write_text(PRICES)
    settings = rabbitmq_stack.settings(
        agents_path=(folder / "agents",),
        prices=folder / "prices.toml",
        model_small=("tiny",),
        model_large=("huge",),
        openai_base_url=endpoint.url,
        openai_api_key=SecretStr("any"),
    )
    with open_core(settings, application="tests") as core, open_worker(core) as parts:
        yield parts


def work(worker: WorkerParts, text: str, **envelope: object) -> TaskEnvelope:
    task = build_envelope(tenant="acme", agent="climber", input=text, **envelope)  # type: ignore[arg-type]
    worker.executor.deliver(Delivery(payload=task.to_dict(), queue=agent_address("climber")))
    return task


def plans(worker: WorkerParts, task: TaskEnvelope) -> list[Step]:
    with worker.core.engine.connect() as connection:
        found = read_steps(connection, task.id)
    return [step for step in found if step.kind is StepKind.PLAN]


def state(worker: WorkerParts, task: TaskEnvelope) -> str | None:
    with worker.core.engine.connect() as connection:
        return connection.execute(select(tasks.c.state).where(tasks.c.id == task.id)).scalar()


def spent(worker: WorkerParts, task: TaskEnvelope) -> list[tuple[str, Decimal]]:
    query = select(spend_entries.c.state, spend_entries.c.amount_usd)
    mine = query.where(spend_entries.c.task_id == task.id).order_by(spend_entries.c.created_at)
    with worker.core.engine.connect() as connection:
        return [(row.state, row.amount_usd) for row in connection.execute(mine)]


def test_an_unsure_model_makes_way_and_both_are_paid(worker: WorkerParts) -> None:
    task = work(worker, "Do you sell plums?")
    assert state(worker, task) == TaskState.SUCCEEDED
    small, large = plans(worker, task)
    assert [each.request["tier"] for each in (small, large)] == ["small", "large"]
    assert large.request["climbed_from"]["plan"] == small.seq
    assert [each.usage.model for each in (small, large) if each.usage] == ["tiny", "huge"]
    costs = [each.usage.cost_usd for each in (small, large) if each.usage]
    assert [(kind, float(paid)) for kind, paid in spent(worker, task)] == [
        ("spent", pytest.approx(float(cost or 0))) for cost in costs
    ]


def test_a_budget_for_the_small_one_alone_leaves_its_draft_to_a_person(
    worker: WorkerParts, endpoint: ModelEndpoint
) -> None:
    before = len(endpoint.asked)
    task = work(worker, "Do you sell pears?", budget_usd=Decimal("0.05"))
    assert state(worker, task) == TaskState.IN_REVIEW
    assert [each.request["tier"] for each in plans(worker, task)] == ["small"]
    assert len(endpoint.asked) == before + 1
    with worker.core.engine.connect() as connection:
        kind, packet = connection.execute(
            select(reviews.c.kind, reviews.c.packet).where(reviews.c.task_id == task.id)
        ).one()
    assert kind == ReviewKind.LOW_CONFIDENCE
    assert packet["proposal"]["answer"] == "We sell plums, says tiny."
