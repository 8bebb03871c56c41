"""The dashboards and alert rules of the repository, as tests read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

_NAME = re.compile(r"\b(?:fleet|process)_[a-z0-9_]+\b")
_VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$agent": "parcels",
    "$model": ".*",
}


def load_dashboard(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def expressions(path: Path) -> Iterator[tuple[str, str]]:
    """Title of the panel and expression, with the dashboard's variables filled in."""
    for panel in load_dashboard(path)["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for name, value in _VARIABLES.items():
                text = text.replace(name, value)
            yield panel["title"], text


def rules() -> list[dict[str, Any]]:
    """All rules: those with `alert`, and those with `record`."""
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def metric_names(text: str) -> set[str]:
    """Metrics in an expression, without what a histogram adds to its name."""
    names = set(_NAME.findall(text)) - {"fleet_docs"}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
