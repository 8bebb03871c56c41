"""Shows what came of an inbox: a row a request, and the sums."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fleet_contracts.states import TaskState
from fleet_workers.embedded.inbox_run import InboxResult

REPORT_WIDTH: Final = 100
_REQUEST_WIDTH: Final = 30
_COLOURS: Final = {"answered": "green", "asked": "cyan", "review": "yellow", "dead": "red"}


def print_table(console: Console, results: Sequence[InboxResult]) -> None:
    """Print one row for each request, within `REPORT_WIDTH` columns."""
    style = box.SIMPLE_HEAD if console.is_terminal else box.ASCII2
    labelled = any(result.request.expect for result in results)
    table = Table(box=style, width=min(console.width, REPORT_WIDTH), padding=(0, 1, 0, 0))
    table.add_column("request", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("agent", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("tools used", overflow="fold", max_width=22)
    table.add_column("conf.", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    if labelled:
        table.add_column("label", no_wrap=True)
    for result in results:
        cells = _cells(result)
        table.add_row(*cells, *([_label(result)] if labelled else []))
    console.print(table)


def print_sums(console: Console, results: Sequence[InboxResult]) -> None:
    """Print how many went as labelled, and what is neither resolved, in review nor dead."""
    labels = [_judge(result) for result in results if result.request.expect]
    if labels:
        both = sum(agent and outcome for agent, outcome in labels)
        console.print(
            f"as labelled: {both} of {len(labels)} (agent {sum(agent for agent, _ in labels)}, "
            f"outcome {sum(outcome for _, outcome in labels)})"
        )
    for result in results:
        if result.refusal:
            console.print(Text(f"refused: {_shorten(result)}: {result.refusal}"))
    states = [result.view.state for result in results if result.view]
    unseen = sum(result.view is None and result.refusal is None for result in results)
    known = {TaskState.SUCCEEDED, TaskState.IN_REVIEW, TaskState.DEAD}
    for state in sorted(set(states) - known):
        console.print(f"{state.value}: {states.count(state)}")
    if unseen:
        console.print(f"never seen again: {unseen}")


def run_line(results: Sequence[InboxResult]) -> str:
    """The last line of a run. Requests that the fleet refused to take are no tasks."""
    taken = [result for result in results if result.refusal is None]
    states = [result.view.state for result in taken if result.view]
    return (
        f"run: {len(taken)} tasks, {states.count(TaskState.SUCCEEDED)} resolved, "
        f"{states.count(TaskState.IN_REVIEW)} in review, {states.count(TaskState.DEAD)} dead"
    )


def all_settled(results: Sequence[InboxResult]) -> bool:
    """Tell whether every request was taken and came to an end or before a person."""
    return all(result.view is not None and result.view.settled for result in results)


def _cells(result: InboxResult) -> list[Text]:
    view = result.view
    outcome = view.outcome if view else None
    tools = ", ".join(dict.fromkeys(outcome.tools_used)) if outcome else ""
    confidence = outcome.confidence if outcome else None
    word = _outcome_word(result)
    return [
        Text(_shorten(result)),
        Text(view.agent if view else "-"),
        Text(word, style=_COLOURS.get(word, "")),
        Text(tools or "-"),
        Text("-" if confidence is None else f"{confidence:.2f}"),
        Text(f"{result.seconds:.1f}s" if view else "-"),
    ]


def _outcome_word(result: InboxResult) -> str:
    if result.view is None:
        return "refused" if result.refusal else "lost"
    outcome = result.view.outcome
    return outcome.kind.value if outcome and result.view.settled else result.view.state.value


def _shorten(result: InboxResult) -> str:
    words = " ".join(result.request.envelope.input.split())
    return words if len(words) <= _REQUEST_WIDTH else words[: _REQUEST_WIDTH - 1] + "…"


def _label(result: InboxResult) -> str:
    """What is not as labelled: agent, outcome or both."""
    if result.request.expect is None:
        return ""
    agent_right, outcome_right = _judge(result)
    if agent_right and outcome_right:
        return "ok"
    if agent_right or outcome_right:
        return "outcome" if agent_right else "agent"
    return "both"


def _judge(result: InboxResult) -> tuple[bool, bool]:
    """Whether agent and outcome are those of the label."""
    expected = result.request.expect
    if expected is None or result.view is None:
        return False, False
    agent_right = expected.agent in {None, result.view.agent}
    return agent_right, _outcome_word(result) == expected.outcome
