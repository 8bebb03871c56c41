"""A short form of `make chaos`: workers are killed at every point, on both stacks at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos.campaign import Plan, Report, run_campaign
from chaos.figures import findings
from chaos.ground import open_ground
from support.nursery import open_nursery

KILLS = 15
PLAN = Plan(
    kills=KILLS,
    seconds=200,  # it ends with its last task; a killed worker's message may come 30 s late
    seed=7,
    storm=False,
    stall=(),
    poison=(),
    workers=3,
    slots=8,
    janitors=1,
    pause_seconds=0.2,
    open_tasks=8,
)


@pytest.mark.slow
@pytest.mark.timeout(300)  # a busy machine; by itself it takes a minute
def test_killed_workers_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    def report_of(stack: str) -> Report:
        folder = tmp_path / stack
        folder.mkdir()
        with (
            open_nursery(folder, prepared_by="chaos.points") as nursery,
            open_ground(stack, folder) as ground,
        ):
            return run_campaign(PLAN, nursery, ground, folder)

    with ThreadPoolExecutor(2) as threads:
        stacks = [threads.submit(report_of, name) for name in ("embedded", "rabbitmq")]
        for each in stacks:
            report = each.result()
            assert findings(report) == []
            assert sum(report.kills.values()) >= KILLS
            assert report.tasks > KILLS
