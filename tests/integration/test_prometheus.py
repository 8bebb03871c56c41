"""A real Prometheus scrapes a real fleet, and finds all that dashboards and alerts name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_contracts.states import TaskState
from fleet_workers.testing import answer
from support.bench import TRACK_AND_TELL, Bench, publish, script, until
from support.dashboards import DASHBOARDS, RULES, expressions, metric_names, rules
from support.fleet_processes import running_fleet
from support.prometheus_server import PrometheusServer, running_prometheus
from support.stacks import Stack

RARE = {
    "fleet_breaker_open",
    "fleet_budget_spent_ratio",
    "fleet_accuracy_ratio",
    "fleet_accuracy_low_ratio",
    "fleet_accuracy_high_ratio",
    "fleet_accuracy_judged",
    "fleet_feedback_week",
    "fleet_finished_tasks_total",
    "fleet_automated_tasks_total",
    "fleet_escalated_tasks_total",
    "fleet_finished_cost_usd_total",
    "fleet_saved_hours_total",
    "fleet_model_batch_size",
    "fleet_model_cost_usd_total",
    "fleet_model_saved_usd_total",
    "fleet_deliveries_total",
    "fleet_reviews_decided_total",
    "fleet_model_unserved",
    "fleet_dead_letters_by_reason",
}
"""They have no value in a fleet of some seconds without such limits, samples, webhooks, batches."""


@pytest.fixture
def prometheus(bench: Bench, tmp_path: Path) -> Iterator[PrometheusServer]:
    with running_prometheus(
        tmp_path / "prometheus", targets=bench.fleet.metrics_folder, rules=RULES
    ) as server:
        yield server


def test_prometheus_finds_all_that_dashboards_and_alerts_name(
    bench: Bench, prometheus: PrometheusServer
) -> None:
    # Web, janitor and worker; files of those that other tests have killed lie beside theirs.
    until(lambda: [*prometheus.targets().values()].count("up") >= 3, what="targets up")

    publish(bench.fleet.stack, "no envelope")
    with bench.fleet.client() as client:
        done = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels", customer="cus_1")
        client.submit(script(bench, answer("Perhaps.", confidence=0.1)), agent="parcels")
        assert done.wait(timeout=20).state is TaskState.SUCCEEDED
    until(lambda: prometheus.query('fleet_tasks_ended_total{state="succeeded"} > 0'), what="an end")
    until(lambda: prometheus.query("sum(fleet_reviews_waiting) > 0"), what="a review")

    known = set(prometheus.get("metadata"))
    for path in DASHBOARDS:
        for title, expression in expressions(path):
            missing = metric_names(expression) - known
            assert not missing, f"{path.name}, {title}: nobody tells {missing}"
            if not metric_names(expression) & RARE and 'result!="ok"' not in expression:
                until(
                    lambda query=expression: prometheus.query(query),
                    what=f"a value of {path.name}, {title}: {expression}",
                )
            else:
                prometheus.query(expression)
    for rule in rules():
        missing = metric_names(rule["expr"]) - known
        assert not missing, f"{rule}: nobody tells {missing}"


def test_a_worker_that_is_killed_is_seen(bench: Bench, prometheus: PrometheusServer) -> None:
    extra = bench.fleet.start_worker("frail")
    bench.fleet.wait_ready()
    name = extra.ready_file.name
    until(lambda: prometheus.targets().get(name) == "up", what="the new worker's metrics")
    until(lambda: _processes(prometheus) == "1", what="the pool with one process")
    extra.kill()
    until(lambda: prometheus.targets().get(name) == "down", what="the target down")
    until(lambda: _processes(prometheus) == "0", what="the pool without a process")
    (bench.fleet.metrics_folder / f"{name}.json").unlink()


def _processes(prometheus: PrometheusServer) -> str | None:
    found = prometheus.query('max(fleet_pool_processes{agent="frail"})')
    return found[0]["value"][1] if found else None


def test_processes_that_are_stopped_take_their_addresses_away(
    embedded_stack: Stack, tmp_path: Path
) -> None:
    with running_fleet(embedded_stack, tmp_path / "fleet", {}) as fleet:
        fleet.start_web()
        fleet.start_janitor()
        fleet.wait_ready()
        assert len(list(fleet.metrics_folder.glob("*.json"))) == 2
        for each in fleet.processes:
            each.process.terminate()
            assert each.process.wait(timeout=30) == 0
        assert list(fleet.metrics_folder.glob("*.json")) == []
