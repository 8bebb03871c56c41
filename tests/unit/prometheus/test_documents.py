"""Documents, dashboards and rules name the metrics that there are, and no others."""

import re
from pathlib import Path

import pytest

from support.dashboards import DASHBOARDS, DEPLOY, expressions, load_dashboard, metric_names, rules
from support.metric_rows import fleet_rows, process_rows

PAGE = DEPLOY.parent / "docs" / "howto" / "metrics.md"
ROWS = [*fleet_rows(), *process_rows()]
NAMES = {row.split("`")[1] for row in ROWS}
PROCESS = re.compile(r"process_[a-z_]+")  # of the Prometheus client itself


def test_the_page_has_a_row_for_each_metric_and_no_other() -> None:
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| `fleet_")]
    assert written == ROWS, "\n".join(sorted(set(ROWS) ^ set(written)))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_whole_and_name_what_there_is(path: Path) -> None:
    board = load_dashboard(path)
    assert board["uid"] == path.stem
    assert board["schemaVersion"] >= 36
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(identifiers) == len(set(identifiers))
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not covered & cells, f"{panel['title']} lies over another panel"
        cells |= covered
        assert panel["type"] == "row" or panel["targets"], panel["title"]
    for variable in board["templating"]["list"]:
        assert f"${variable['name']}" in path.read_text()
    for title, expression in expressions(path):
        assert "$" not in expression, f"{title}: a variable that the dashboard does not have"
        _check_names(expression, title)


def test_rules_name_what_there_is() -> None:
    for rule in rules():
        _check_names(rule["expr"], rule.get("alert") or rule["record"])


def test_the_folders_of_grafana_fit_together() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = (provisioning / "datasources" / "prometheus.yml").read_text()
    uid = load_dashboard(DASHBOARDS[0])["panels"][1]["datasource"]["uid"]
    assert f"uid: {uid}" in source
    assert (
        "path: /etc/grafana/dashboards" in (provisioning / "dashboards" / "fleet.yml").read_text()
    )


def _check_names(expression: str, title: str) -> None:
    for name in metric_names(expression):
        assert name in NAMES or PROCESS.fullmatch(name), f"{title}: no metric is called {name}"
