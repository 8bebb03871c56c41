"""500 real messages without an agent's name: none is lost, none stuck, each ends with a reason."""

import csv
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fleet_contracts.outcome import TaskView
from fleet_contracts.states import TaskState
from fleet_workers.store import views
from support.fleet_processes import running_fleet
from support.stacks import Stack

DATA = Path(__file__).parents[3] / "shared" / "data" / "intent"
POOLS = ("billing", "technical_support", "onboarding")
_EACH = 250
_SEED = 20_240_601
_LIMIT_SECONDS = 150.0

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"{DATA} is missing: it holds the customers' messages."
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_message_is_resolved_or_waits_for_a_person(
    embedded_stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = sample("bitext_support.csv", "instruction") + sample("banking77_train.csv", "text")
    assert len(messages) == 2 * _EACH
    with running_fleet(embedded_stack, tmp_path, {}) as fleet:
        business = fleet.start_service(
            "fleet_workers.embedded.business", "--database", str(tmp_path / "business.sqlite")
        )
        model = fleet.start_service("fleet_workers.embedded.offline_model")
        for agent in POOLS:
            fleet.start_worker(
                agent,
                "auto",
                slots=20,
                FLEET_BUSINESS_URL=business,
                OPENAI_BASE_URL=f"{model}/v1",
                FLEET_MODEL_SMALL="offline-small",
            )
        fleet.start_janitor()
        fleet.wait_ready()
        begun = time.monotonic()
        with fleet.client() as client:
            results = client.submit_many(
                {"text": text, "agent": "auto", "customer": f"cus_acme_0{number % 9 + 1}"}
                for number, text in enumerate(messages)
            )
        task_ids = {result.handle.id for result in results if result.handle}
        assert len(task_ids) == len(messages), [r.error for r in results if r.error][:3]
        ended = wait_for_all(embedded_stack, task_ids)
        seconds = time.monotonic() - begun
    with capsys.disabled():
        print(figures(ended, seconds))  # noqa: T201 the figures are for people
    for view in ended:
        assert view.state in {TaskState.SUCCEEDED, TaskState.IN_REVIEW}, view
        assert view.outcome is not None
        assert view.outcome.answer if view.state is TaskState.SUCCEEDED else view.outcome.reason


def sample(file: str, column: str) -> list[str]:
    with (DATA / file).open(newline="", encoding="utf-8") as rows:
        texts = [row[column] for row in csv.DictReader(rows)]
    return random.Random(_SEED).sample(texts, _EACH)  # noqa: S311 a choice, not a secret


def wait_for_all(stack: Stack, task_ids: set[Any]) -> list[TaskView]:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while True:
        with stack.engine.begin() as connection:
            seen = [
                view
                for view in views.recent(connection, tenant="acme", limit=5000)
                if view.id in task_ids
            ]
        if len(seen) == len(task_ids) and all(view.settled for view in seen):
            return seen
        waiting = Counter(str(view.state) for view in seen if not view.settled)
        assert time.monotonic() < deadline, f"{len(seen)} of {len(task_ids)} taken, {waiting}"
        time.sleep(0.5)


def figures(ended: list[TaskView], seconds: float) -> str:
    counts = {
        "state": Counter(str(view.state) for view in ended),
        "kind": Counter(kind_of(view) for view in ended),
        "agent": Counter(view.agent for view in ended),
    }
    lines = [f"  by {name}: {dict(count.most_common())}" for name, count in counts.items()]
    return "\n".join([f"\ntriage: {len(ended)} messages in {seconds:.1f} s", *lines])


def kind_of(view: TaskView) -> str:
    assert view.outcome is not None
    return str(view.outcome.review_kind or view.outcome.kind)
