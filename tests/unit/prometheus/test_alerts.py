"""Each alert fires when it should, stays silent when it should, and leads to a page."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.dashboards import DEPLOY, RULES, rules
from support.prometheus_server import need_program

ROOT = DEPLOY.parent
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}

AGENT = 'agent="billing"'
REAL = f'{AGENT},model="real"'
WEB = 'instance="web:8080",job="fleet-web"'
EVER = "x100"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Series a minute (or `every`), those with which it fires and those with which it does not."""

    fires: Mapping[str, str]
    silent: Mapping[str, str]
    at: str = "40m"
    every: str = "1m"


def _slow(seconds_bucket: str) -> dict[str, str]:
    """100 tasks a minute: nine of ten within a second, the others within a bucket."""
    counts = {"1": 90, "10": 90, "30": 90, "60": 90, "+Inf": 100}
    for bucket in list(counts)[list(counts).index(seconds_bucket) :]:
        counts[bucket] = 100
    series = {
        f'fleet_task_seconds_bucket{{{AGENT},le="{le}"}}': f"0+{number}{EVER}"
        for le, number in counts.items()
    }
    return {**series, f"fleet_task_seconds_count{{{AGENT}}}": f"0+100{EVER}"}


def _shares(share_now: int, *, an_hour: int = 100) -> dict[str, str]:
    """A tenth of the tasks escalated for 8 days, then so many of a hundred, an hour a sample."""
    before, now = an_hour // 10, an_hour * share_now // 100
    return {
        f"fleet_automated_tasks_total{{{REAL}}}": f"0+{an_hour - before}x250",
        f"fleet_escalated_tasks_total{{{REAL}}}": f"0+{before}x192 {before * 192 + now}+{now}x57",
    }


def _calls(name: str, labels: str, ok: int, failed: int, result: str) -> dict[str, str]:
    return {
        f'{name}{{{labels},result="ok"}}': f"0+{ok}{EVER}",
        f'{name}{{{labels},result="{result}"}}': f"0+{failed}{EVER}",
    }


TOOL, TIER = f'{AGENT},tool="refund"', f'{AGENT},tier="small"'
CASES = {
    "FleetAccuracyLow": Case(
        fires={f"fleet_accuracy_ratio{{{REAL}}}": f"0.84{EVER}"},
        silent={
            f"fleet_accuracy_ratio{{{REAL}}}": f"0.86{EVER}",
            'fleet_accuracy_ratio{agent="billing",model="offline"}': f"0.1{EVER}",
        },
    ),
    "FleetAccuracySurelyLow": Case(
        fires={f"fleet_accuracy_high_ratio{{{REAL}}}": f"0.84{EVER}"},
        silent={
            f"fleet_accuracy_high_ratio{{{REAL}}}": f"0.9{EVER}",
            f"fleet_accuracy_ratio{{{REAL}}}": f"0.8{EVER}",
        },
    ),
    "FleetEscalationsUp": Case(fires=_shares(20), silent=_shares(10), at="220h", every="1h"),
    "FleetSlow": Case(fires=_slow("60"), silent=_slow("10")),
    "FleetDeadLettersRising": Case(
        fires={"fleet_dead_letters": "5x30 8x70"}, silent={"fleet_dead_letters": f"500{EVER}"}
    ),
    "FleetDeadLettersFlood": Case(
        fires={"fleet_dead_letters": "5x30 105x70"}, silent={"fleet_dead_letters": "5x30 90x70"}
    ),
    "FleetBudgetNearlySpent": Case(
        fires={f'fleet_budget_spent_ratio{{{AGENT},limit="cost_per_agent_day"}}': f"0.91{EVER}"},
        silent={
            f'fleet_budget_spent_ratio{{{AGENT},limit="cost_per_agent_day"}}': f"0.89{EVER}",
            f'fleet_budget_spent_ratio{{{AGENT},limit="cost_per_tenant_day"}}': f"1.2{EVER}",
        },
    ),
    "FleetBudgetSpent": Case(
        fires={f'fleet_budget_spent_ratio{{{AGENT},limit="cost_per_agent_day"}}': f"1{EVER}"},
        silent={f'fleet_budget_spent_ratio{{{AGENT},limit="cost_per_agent_day"}}': f"0.99{EVER}"},
    ),
    "FleetReviewsOverdue": Case(
        fires={f"fleet_reviews_overdue_by_agent{{{AGENT}}}": f"1{EVER}"},
        silent={f"fleet_reviews_overdue_by_agent{{{AGENT}}}": f"0{EVER}"},
    ),
    "FleetToolErrors": Case(
        fires=_calls("fleet_tool_calls_total", TOOL, 7, 3, "unavailable"),
        silent=_calls("fleet_tool_calls_total", TOOL, 7, 3, "policy"),
    ),
    "FleetModelErrors": Case(
        fires=_calls("fleet_model_calls_total", TIER, 7, 3, "timed_out"),
        silent=_calls("fleet_model_calls_total", TIER, 95, 5, "timed_out"),
    ),
    "FleetModelNotServed": Case(
        fires={'fleet_model_unserved{model="m"}': f"1{EVER}"}, silent={"fleet_store_up": f"1{EVER}"}
    ),
    "FleetBreakerOpen": Case(
        fires={'fleet_breaker_open{breaker="tool refund"}': f"1{EVER}"},
        silent={'fleet_breaker_open{breaker="tool refund"}': "0 1 0 1 0 0x95"},
    ),
    "FleetStoreAway": Case(
        fires={f"fleet_store_up{{{WEB}}}": f"0{EVER}"},
        silent={
            f"fleet_store_up{{{WEB}}}": f"0{EVER}",
            'fleet_store_up{instance="other:8080",job="fleet-web"}': f"1{EVER}",
        },
    ),
    "FleetBrokerAway": Case(
        fires={"fleet_broker_up": f"0{EVER}"}, silent={"fleet_broker_up": f"1{EVER}"}
    ),
    "FleetRedisAway": Case(
        fires={"fleet_redis_up": f"0{EVER}"}, silent={"fleet_redis_up": f"1{EVER}"}
    ),
    "FleetNoWorker": Case(
        fires={
            f"fleet_queue_depth{{{AGENT}}}": f"3{EVER}",
            f"fleet_pool_processes{{{AGENT}}}": f"0{EVER}",
            "fleet_pools_unnamed": f"0{EVER}",
        },
        silent={
            f"fleet_queue_depth{{{AGENT}}}": f"3{EVER}",
            f"fleet_pool_processes{{{AGENT}}}": f"1{EVER}",
            "fleet_pools_unnamed": f"0{EVER}",
        },
    ),
    "FleetOldestWait": Case(
        fires={f"fleet_queue_oldest_seconds{{{AGENT}}}": f"0+60{EVER}"},
        silent={f"fleet_queue_oldest_seconds{{{AGENT}}}": f"200{EVER}"},
    ),
    "FleetOutboxStuck": Case(
        fires={"fleet_outbox_oldest_seconds": f"0+60{EVER}"},
        silent={"fleet_outbox_oldest_seconds": f"3{EVER}"},
    ),
    "FleetDeliveriesGivenUp": Case(
        fires={"fleet_deliveries_given_up": "2x30 3x70"},
        silent={"fleet_deliveries_given_up": f"2{EVER}"},
    ),
    "FleetLeasesLost": Case(
        fires={"fleet_leases_lost_total": f"0+2{EVER}"},
        silent={"fleet_leases_lost_total": "0x30 5x70"},
    ),
    "FleetJanitorFailing": Case(
        fires={'fleet_janitor_chores_failed_total{chore="audit"}': f"0+1{EVER}"},
        silent={'fleet_janitor_chores_failed_total{chore="audit"}': "0x30 1x70"},
    ),
    "FleetIntakeRefused": Case(
        fires={'fleet_intake_refused_total{reason="invalid_envelope"}': f"0+2{EVER}"},
        silent={'fleet_intake_refused_total{reason="invalid_envelope"}': "0x30 3x70"},
    ),
    "FleetRetentionStopped": Case(
        fires={"fleet_retention_clock_refused": f"1{EVER}"},
        silent={"fleet_retention_clock_refused": "0x30 1x2 0x70"},
    ),
    "FleetJanitorGone": Case(
        fires={
            "fleet_store_up": f"1{EVER}",
            'fleet_janitor_chore_seconds_count{chore="sweep"}': "0+200x10 2000x90",
        },
        silent={
            "fleet_store_up": f"1{EVER}",
            'fleet_janitor_chore_seconds_count{chore="sweep"}': f"0+200{EVER}",
        },
    ),
    "FleetTargetDown": Case(
        fires={'up{instance="pool:9464",job="fleet-worker"}': f"0{EVER}"},
        silent={
            'up{instance="pool:9464",job="fleet-worker"}': f"1{EVER}",
            'up{instance="elsewhere",job="other"}': f"0{EVER}",
        },
    ),
    "FleetWebGone": Case(
        fires={'up{instance="pool:9464",job="fleet-worker"}': f"1{EVER}"},
        silent={"fleet_store_up": f"0{EVER}"},
    ),
}


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(ALERTS)


def test_the_rules_and_configurations_are_valid() -> None:
    promtool = need_program("promtool")
    for words in (
        ("check", "rules", RULES),
        ("check", "config", "--syntax-only", RULES.with_name("prometheus.yml")),
        ("check", "config", "--syntax-only", RULES.with_name("local.yml")),
    ):
        done = subprocess.run((promtool, *words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_and_stay_silent(tmp_path: Path) -> None:
    for every, evaluated in (("1m", "1m"), ("1h", "30m")):
        tests = [
            _unit(name, case, series, fires=fires)
            for name, case in CASES.items()
            for series, fires in ((case.fires, True), (case.silent, False))
            if case.every == every
        ]
        assert tests
        _run(tmp_path, tests, evaluated_every=evaluated)


def test_a_person_is_told_what_it_is_and_where_to_look(tmp_path: Path) -> None:
    told = {
        "summary": "billing is right in 80% of the tasks that people judged",
        "description": ALERTS["FleetAccuracyLow"]["annotations"]["description"],
        "runbook_url": "https://code.example.com/fleet/docs/howto/alerts.md#fleetaccuracylow",
    }
    alert = {"exp_labels": {"agent": "billing", "severity": "warning"}, "exp_annotations": told}
    test = {
        "interval": "1m",
        "external_labels": {"fleet_docs": "https://code.example.com/fleet"},
        "input_series": [{"series": f"fleet_accuracy_ratio{{{REAL}}}", "values": f"0.8{EVER}"}],
        "alert_rule_test": [
            {"eval_time": "20m", "alertname": "FleetAccuracyLow", "exp_alerts": [alert]}
        ],
    }
    _run(tmp_path, [test])


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_severity_and_a_chapter(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"]
    _, _, place = rule["annotations"]["runbook_url"].partition("{{ end }}")
    page, _, anchor = place.partition("#")
    titles = re.findall(r"^## (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {title.lower() for title in titles}


def _unit(name: str, case: Case, series: Mapping[str, str], *, fires: bool) -> dict[str, Any]:
    state = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > 0'
    expected = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "name": f"{name} {'fires' if fires else 'stays silent'}",
        "interval": case.every,
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [{"expr": state, "eval_time": case.at, "exp_samples": expected}],
    }


def _run(folder: Path, tests: list[dict[str, Any]], *, evaluated_every: str = "1m") -> None:
    promtool = need_program("promtool")
    file = folder / "alerts_test.yml"
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": evaluated_every,
        "group_eval_order": ["fleet-figures", "fleet-alerts"],
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False, width=200))
    done = subprocess.run(
        (promtool, "test", "rules", file), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
