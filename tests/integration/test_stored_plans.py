"""A worker uses stored plans as it uses new ones: journaled, checked, paid for once."""

import json
from collections.abc import Iterator
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_contracts.states import TaskState
from fleet_contracts.topology import agent_address
from fleet_workers.controller.reception import Delivery
from fleet_workers.store.journal import Step, StepKind, read_steps
from fleet_workers.store.tables import tasks
from fleet_workers.wiring import WorkerParts, open_core, open_worker
from support.model_endpoint import ModelEndpoint, completion, model_endpoint, told
from support.stacks import Stack

MANIFEST = """
name = "helper"
title = "Helper"
description = "Tells what the shop does."

[scope]
handles = ["What the shop does"]
never = ["Anything else"]

[cache]
semantic = true
"""
PRICES = 'as_of = 2026-11-01\n[models."tested"]\ninput_usd = 1\noutput_usd = 10\n'
QUESTION = "Does your shop sell plums and apples?"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ModelEndpoint]:
    arguments = json.dumps({"text": "Yes, we sell plums and apples.", "confidence": 0.95})
    call = {
        "id": "call_0",
        "type": "function",
        "function": {"name": "answer", "arguments": arguments},
    }
    reply = told(completion(None, tool_calls=[call]))
    with model_endpoint(lambda *_: reply) as running:
        yield running


@pytest.fixture(scope="module")
def worker(
    rabbitmq_stack: Stack, endpoint: ModelEndpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerParts]:
    folder = tmp_path_factory.mktemp("stored_plans")
    agent = folder / "agents" / "helper"
    (agent / "prompts").mkdir(parents=True)
    (agent / "agent.toml").write_text(MANIFEST)
    (agent / "prompts" / "v1.md").write_text("You answer questions about the shop.")
    (folder / "prices.toml").write_text(PRICES)
    settings = rabbitmq_stack.settings(
        agents_path=(folder / "agents",),
        prices=folder / "prices.toml",
        model_small=("tested",),
        openai_base_url=endpoint.url,
        openai_api_key=SecretStr("any"),
    )
    with open_core(settings, application="tests") as core, open_worker(core) as parts:
        yield parts


def test_a_plan_is_asked_for_once_and_each_task_has_its_own_journal(
    worker: WorkerParts, endpoint: ModelEndpoint
) -> None:
    ended = [
        _work(worker, customer, text)
        for customer, text in (
            ("C-1001", QUESTION),
            ("C-1001", QUESTION),
            ("C-2002", QUESTION),
            ("C-1001", QUESTION + " And 3 pears?"),
        )
    ]

    plans = [_plan(worker, each) for each in ended]
    assert [(plan.result or {}).get("source", "model") for plan in plans] == [
        "model",
        "exact_cache",
        "semantic_cache",
        "model",
    ]
    assert len(endpoint.asked) == 2
    first, same, alike, _ = plans
    assert first.usage is not None
    assert first.usage.cost_usd
    for plan in (same, alike):
        assert plan.usage is not None
        assert (plan.usage.cost_usd, plan.usage.tokens) == (0, 0)
        result = plan.result or {}
        assert result["provenance"]["task"] == str(ended[0])
        assert float(result["saved_usd"]) == float(first.usage.cost_usd)
        assert result["calls"] == (first.result or {})["calls"]
    assert (alike.result or {})["provenance"]["similarity"] == pytest.approx(1, abs=0.001)
    # A stored answer is checked like a new one.
    kinds = [[step.kind for step in _steps(worker, each)] for each in ended[:3]]
    assert StepKind.OUTBOUND in kinds[0] or StepKind.CONFIDENCE in kinds[0]
    assert kinds[0] == kinds[1] == kinds[2]


def _work(worker: WorkerParts, customer: str, text: str) -> UUID:
    envelope: TaskEnvelope = build_envelope(
        tenant="acme", agent="helper", input=text, customer=customer
    )
    worker.executor.deliver(Delivery(payload=envelope.to_dict(), queue=agent_address("helper")))
    with worker.core.engine.connect() as connection:
        state = connection.execute(select(tasks.c.state).where(tasks.c.id == envelope.id)).scalar()
    assert state in {TaskState.SUCCEEDED, TaskState.IN_REVIEW}
    return envelope.id


def _steps(worker: WorkerParts, task_id: UUID) -> list[Step]:
    with worker.core.engine.connect() as connection:
        return list(read_steps(connection, task_id))


def _plan(worker: WorkerParts, task_id: UUID) -> Step:
    (plan,) = [step for step in _steps(worker, task_id) if step.kind is StepKind.PLAN]
    return plan
