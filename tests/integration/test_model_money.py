"""What a worker's models cost: the journal, the ledger, the notes of use and fleetctl agree."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from fleet_contracts.envelope import build_envelope
from fleet_contracts.states import TaskState
from fleet_contracts.topology import agent_address
from fleet_workers.controller.reception import Delivery
from fleet_workers.models.capabilities import read_unserved
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.settings import Settings
from fleet_workers.store.engine import open_engine
from fleet_workers.store.model_use import savings, used
from fleet_workers.store.money_tables import spend_totals
from fleet_workers.store.tables import steps, tasks
from fleet_workers.wiring import WorkerParts, open_core, open_worker
from support.model_endpoint import Told, completion, model_endpoint, refused, told, usage
from support.stacks import Stack

MANIFEST = """
name = "grocer"
title = "Helper"
description = "Tells what the shop does."

[scope]
handles = ["What the shop does"]
never = ["Anything else"]

[spend]
cost_per_tenant_agent_day = 0.025
when_spent = "refuse"
"""
PRICES = """
as_of = 2026-11-01
[models."served"]
input_usd = 1
output_usd = 10
[models."gone"]
input_usd = 1
output_usd = 10
[models."large"]
input_usd = 10
output_usd = 100
"""
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)  # midnight may pass meanwhile


def answer(_path: str, body: Any) -> Told:
    if body["model"] == "gone":
        return refused("The model does not exist.", 404)
    arguments = json.dumps({"text": "Yes, we sell plums.", "confidence": 0.95})
    call = {"id": "c", "type": "function", "function": {"name": "answer", "arguments": arguments}}
    return told(completion(None, tool_calls=[call], usage=usage(1000, 100)))


@pytest.fixture
def settings(rabbitmq_stack: Stack, tmp_path: Path) -> Settings:
    agent = tmp_path / "agents" / "grocer"
    (agent / "prompts").mkdir(parents=True)
    (agent / "agent.toml").write_text(MANIFEST)
    (agent / "prompts" / "v1.md").write_text("You answer questions about the shop.")
    (tmp_path / "prices.toml").write_text(PRICES)
    return rabbitmq_stack.settings(
        agents_path=(tmp_path / "agents",),
        prices=tmp_path / "prices.toml",
        model_small=("gone", "served"),
        model_large=("large",),
        model_max_output_tokens=1000,
        openai_api_key=SecretStr("any"),
    )


def test_all_that_counts_money_agrees(settings: Settings) -> None:
    with model_endpoint(answer) as endpoint:
        told_settings = settings.model_copy(update={"openai_base_url": endpoint.url})
        with (
            open_core(told_settings, application="tests") as core,
            open_worker(core) as worker,
        ):
            # A call costs 0.002, and more than 0.01 is reserved for it: the last finds no room
            numbers = (0, 0, *range(1, 9))
            ended = [_work(worker, f"Do you sell plums and {each} pears?") for each in numbers]
            shown = _shown(worker)
    assert ended[:2] == [TaskState.SUCCEEDED] * 2
    assert ended[-1] == TaskState.REJECTED
    engine = open_engine(settings.sqlalchemy_url, connections=1, application="tests")
    with engine.connect() as connection:
        found = [each for each in used(connection, since=YESTERDAY) if each.agent == "grocer"]
        journaled = connection.execute(
            select(func.sum(steps.c.cost_usd)).where(steps.c.name == "grocer")
        ).scalar_one()
        ledger = connection.execute(
            select(func.sum(spend_totals.c.amount_usd)).where(
                spend_totals.c.subject == "agent grocer acme", spend_totals.c.kind == "cost"
            )
        ).scalar_one()
    engine.dispose()
    own = [each for each in found if each.source == "model"]
    asked = len([each for each in endpoint.asked.bodies if each["model"] == "served"])
    assert [(each.model, each.calls) for each in own] == [("served", asked)]
    assert asked == ended.count(TaskState.SUCCEEDED) - 1
    assert sum(each.cost_usd for each in found) == ledger == journaled == asked * Decimal("0.002")
    (saved,) = savings(found)
    assert saved.saved_by_tiers_usd == asked * Decimal("0.018")
    assert (saved.from_store, saved.saved_by_store_usd) == (1, Decimal("0.002"))
    # The model that is not served was asked once, and the fleet knows
    assert [each["model"] for each in endpoint.asked.bodies].count("gone") <= 2
    assert any(each == f"gone at {endpoint.url}" for each in shown)


def _work(worker: WorkerParts, text: str) -> str:
    envelope = build_envelope(tenant="acme", agent="grocer", input=text, customer="C-1")
    worker.executor.deliver(Delivery(payload=envelope.to_dict(), queue=agent_address("grocer")))
    with worker.core.engine.connect() as connection:
        return str(
            connection.execute(select(tasks.c.state).where(tasks.c.id == envelope.id)).scalar_one()
        )


def _shown(worker: WorkerParts) -> list[str]:
    with closing(open_link(worker.core.settings.redis_url)) as link:
        return read_unserved(link)
