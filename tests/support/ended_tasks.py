"""Writes tasks that have ended, as workers would have left them, many at a time."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, insert

from fleet_contracts.envelope import build_envelope
from fleet_contracts.ids import new_task_id
from fleet_workers.store.tables import reviews, steps, tasks


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that ended `ago`, `took` after it was submitted."""

    ago: timedelta = timedelta(minutes=5)
    took: timedelta = timedelta(seconds=4)
    tenant: str = "acme"
    agent: str = "billing"
    state: str = "succeeded"
    words: str = "Where is my invoice?"
    confidence: float | None = 0.95
    kind: str = "answered"
    model: str = "gpt-small"
    cost_usd: Decimal = Decimal("0.002")
    reviewed: bool = False
    source: str = "model"
    id: UUID = field(default_factory=new_task_id)


def write_ended(engine: Engine, ended: Sequence[Ended]) -> None:
    """Write them in one transaction."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for start in range(0, len(ended), 2000):
            _write(connection, ended[start : start + 2000], now)


def any_ended(chance: random.Random, **fields: Any) -> Ended:
    """One of the usual kind."""
    sure = chance.triangular(0.7, 1, 0.95)
    return Ended(confidence=sure, took=timedelta(seconds=chance.lognormvariate(1.5, 0.7)), **fields)


def _write(connection: Connection, ended: Sequence[Ended], now: datetime) -> None:
    connection.execute(insert(tasks), [_task(each, now) for each in ended])
    connection.execute(insert(steps), [_step(each, now) for each in ended])
    if reviewed := [each for each in ended if each.reviewed]:
        connection.execute(insert(reviews), [_review(each, now) for each in reviewed])


def _task(ended: Ended, now: datetime) -> dict[str, Any]:
    envelope = build_envelope(agent=ended.agent, tenant=ended.tenant, input=ended.words)
    content = envelope.model_copy(update={"id": ended.id}).to_json()
    finished_at = now - ended.ago
    return {
        "id": ended.id,
        "tenant": ended.tenant,
        "agent": ended.agent,
        "requested_agent": ended.agent,
        "release": f"{ended.agent}@v1-0",
        "state": ended.state,
        "envelope": json.loads(content),
        "content_hash": "0",
        "outcome": {
            "kind": ended.kind,
            "answer": "It is on its way.",
            "confidence": ended.confidence,
        },
        "submitted_at": finished_at - ended.took,
        "created_at": finished_at - ended.took,
        "finished_at": finished_at,
    }


def _step(ended: Ended, now: datetime) -> dict[str, Any]:
    return {
        "task_id": ended.id,
        "seq": 0,
        "epoch": 1,
        "kind": "plan",
        "name": ended.agent,
        "state": "done",
        "request": {"tier": "small"},
        "result": {
            "text": "It is on its way.",
            "calls": [],
            "model": ended.model,
            "source": ended.source,
        },
        "model": ended.model,
        "tokens": 400,
        "cost_usd": ended.cost_usd,
        "finished_at": now - ended.ago,
    }


def _review(ended: Ended, now: datetime) -> dict[str, Any]:
    opened_at = now - ended.ago - timedelta(seconds=1)
    milliseconds = int(opened_at.timestamp() * 1000)
    random_part = new_task_id().int & ((1 << 80) - 1)
    return {
        "id": UUID(int=(milliseconds << 80) | random_part),
        "task_id": ended.id,
        "tenant": ended.tenant,
        "agent": ended.agent,
        "kind": "approval",
        "reason": "r",
        "state": "resumed",
        "packet": {},
        "created_at": opened_at,
    }
