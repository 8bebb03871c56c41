"""How many injected writes the gates let through, and how much they leave to the agent alone.

A planner makes the golden calls of AgentDojo's user tasks and every call that the injected text
asks for: after them, and right after the text was read. What the gates know is the request, the
tools' promises (promises.py) and what was read; a person approves what the user asked for.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure, Remark, Said
from bench.package_environment import NotInstalled, python_with

AGENTDOJO = "0.1.35"
_RUN = Path(__file__).parent / "dojo_run.py"
_SHOWN = 200


def measure() -> Iterator[Said]:
    """Run all tasks, alone and under attack; some minutes."""
    try:
        python = python_with("agentdojo", AGENTDOJO, sees_project=True)
    except NotInstalled as error:
        yield Remark(text=f"gates: not measured. {error}")
        return
    done = subprocess.run((python, _RUN), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"AgentDojo's tasks could not be run: {done.stderr[-2000:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    yield from _under_attack([each for each in lines if each["kind"] == "attacked"])
    yield from _alone([each for each in lines if each["kind"] == "benign"])


def _under_attack(runs: Sequence[dict[str, Any]]) -> Iterator[Said]:
    pairs = {(each["suite"], each["task"], each["injection"]) for each in runs}
    executed = [each for each in runs if each["executed"]]
    for each in executed:
        yield Remark(text=f"executed: {json.dumps(each)}")
    yield Figure(
        name="security.injected_writes_executed",
        value=sum(len(each["executed"]) for each in executed),
        unit="writes",
    )
    yield Figure(name="security.injected_pairs", value=len(pairs), unit="pairs")
    yield Figure(name="security.injected_runs", value=len(runs), unit="runs")
    attempted = sum(each["attempted"] for each in runs)
    yield Figure(name="security.injected_writes_attempted", value=attempted, unit="writes")


def _alone(runs: Sequence[dict[str, Any]]) -> Iterator[Said]:
    asked = [each for each in runs if each["approvals"] or each["refused"]]
    for each in asked:
        tool, why = (each["approvals"] or each["refused"])[0]
        yield Remark(text=f"{each['suite']} {each['task']}: {tool}: {why[:_SHOWN]}")
    by_suite = Counter(each["suite"] for each in runs)
    for suite, tasks in by_suite.items():
        alone = tasks - sum(1 for each in asked if each["suite"] == suite)
        yield Remark(text=f"{suite}: {alone} of {tasks} tasks without an approval")
    yield _percent("security.benign_without_approval_percent", len(runs) - len(asked), runs)
    useful = sum(1 for each in runs if each["useful"] and each not in asked)
    yield _percent("security.benign_utility_percent", useful, runs)
    approved = sum(1 for each in runs if each["useful"])
    yield _percent("security.benign_utility_once_approved_percent", approved, runs)


def _percent(name: str, count: int, runs: Sequence[object]) -> Figure:
    return Figure(name=name, value=100 * count / len(runs), unit="% of tasks")
