"""Writes what was gathered: for operators in full, and as notices to those who wait."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import jinja2

from fleet_contracts.errors import ConfigurationError
from fleet_workers.incident.cause import Cause
from fleet_workers.incident.facts import Facts

TEMPLATES: Final = Path(__file__).parent / "templates"
_MOST_TASKS = 50
_UNCERTAIN = ("begun", "in doubt")


class Audience(StrEnum):
    """Who reads a notice."""

    CUSTOMERS = "customers"
    OPERATORS = "operators"
    EXECUTIVES = "executives"


class Phase(StrEnum):
    """Where an incident stands when a notice is written."""

    FIRST = "first"
    UPDATE = "update"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes from templates; those in `folder` stand in for the fleet's own of the same name."""

    folder: Path | None = None

    def report(self, facts: Facts, causes: Sequence[Cause]) -> str:
        """The whole report, in Markdown."""
        return self._render("report.md", _values(facts, causes))

    def notice(
        self, audience: Audience, phase: Phase, facts: Facts, causes: Sequence[Cause]
    ) -> str:
        """A notice, in Markdown. It holds numbers and names of agents, nothing of any customer.

        Raises:
            ConfigurationError: A template is wrong; the text names it.
        """
        return self._render(
            f"{audience.value}.md", {**_values(facts, causes), "phase": phase.value}
        )

    def _render(self, name: str, values: Mapping[str, Any]) -> str:
        folders = [TEMPLATES] if self.folder is None else [self.folder, TEMPLATES]
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folders),
            autoescape=False,  # noqa: S701 Markdown, which the reader's own program shows
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters["moment"] = lambda at: f"{at:%Y-%m-%d %H:%M} UTC"
        environment.filters["clock"] = lambda at: f"{at:%H:%M:%S}"
        try:
            return environment.get_template(name).render(values)
        except jinja2.TemplateError as error:
            raise ConfigurationError(f"The template {name} is wrong: {error}.") from error


def as_json(facts: Facts, causes: Sequence[Cause]) -> dict[str, Any]:
    """All of it for programs: times in ISO 8601, ids as text."""
    values = _values(facts, causes)
    return {
        "since": facts.scope.since.isoformat(),
        "until": facts.scope.until.isoformat(),
        "agent": facts.scope.agent,
        "tenant": facts.scope.tenant,
        "causes": [asdict(cause) for cause in causes],
        "changes": dict(facts.totals),
        "changes_before": dict(facts.before),
        "affected": {
            "tasks": len(facts.affected),
            "is_cut": facts.is_cut,
            "by_state": values["by_state"],
            "by_agent": values["by_agent"],
            "by_tenant": values["by_tenant"],
            "ids": [str(each) for each in facts.affected],
        },
        "writes_in_doubt": [
            {"task": str(each.task_id), "tool": each.tool, "fate": each.fate}
            for each in values["doubtful"]
        ],
        "acts": [{**asdict(act), "at": act.at.isoformat()} for act in facts.acts],
        "timeline": [{"at": bucket.at.isoformat(), **bucket.counts} for bucket in facts.buckets],
    }


def _values(facts: Facts, causes: Sequence[Cause]) -> dict[str, Any]:
    last = {task_id: troubles[-1] for task_id, troubles in facts.affected.items()}
    doubtful = [each for each in facts.effects if each.fate in _UNCERTAIN]
    return {
        "scope": facts.scope,
        "facts": facts,
        "causes": causes,
        "totals": facts.totals,
        "before": facts.before,
        "affected": len(last),
        "listed": list(last.values())[:_MOST_TASKS],
        "more": max(0, len(last) - _MOST_TASKS),
        "by_state": _ranked(each.state for each in last.values()),
        "by_agent": _ranked(each.agent for each in last.values()),
        "by_tenant": _ranked(each.tenant for each in last.values()),
        "by_cause": _ranked((each.cause for each in facts.troubles), most=10),
        "doubtful": doubtful,
        "done": _ranked(each.tool for each in facts.effects if each.fate == "done"),
        "first_at": facts.troubles[0].at if facts.troubles else None,
        "last_at": facts.troubles[-1].at if facts.troubles else None,
    }


def _ranked(names: Any, *, most: int = 20) -> dict[str, int]:
    return dict(Counter(names).most_common(most))
