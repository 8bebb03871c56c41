"""Rules about tools and models that fail, alone or together."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from fleet_workers.incident.cause import Cause
from fleet_workers.incident.facts import Facts, Trouble

_SEVERAL: Final = 3
_TOOL: Final = "tool"


def failing_together(facts: Facts) -> Iterator[Cause]:
    """Several tools whose calls fail at one time, so that what they share is to be looked at."""
    by_tool: dict[str, set[object]] = {}
    first: Trouble | None = None
    for each in facts.troubles:
        kind, _, name = each.subject.partition(" ") if each.subject else ("", "", "")
        if kind == _TOOL:
            by_tool.setdefault(name, set()).add(each.task_id)
            first = first or each
    tasks = set().union(*by_tool.values())
    if first is None or len(by_tool) < _SEVERAL or len(tasks) <= max(map(len, by_tool.values())):
        return
    number = len(facts.affected)
    names = sorted(by_tool, key=lambda name: (-len(by_tool[name]), name))
    open_now = sorted(name for name in names if f"{_TOOL} {name}" in facts.present.open_breakers)
    evidence = [
        f"{len(tasks)} of {number} troubled tasks failed at one of them, first at {_clock(first)}.",
        f"Tasks by tool: {', '.join(f'{name} {len(by_tool[name])}' for name in names)}.",
    ]
    if open_now:
        evidence.append(f"Circuit breakers that are open now: {', '.join(open_now)}.")
    yield Cause(
        title=f"{len(names)} tools fail together",
        score=0.95 * len(tasks) / number,
        evidence=tuple(evidence),
        remedy="Look at what they share: the system behind them, its address and its secret, or "
        "the network of the workers.",
    )


def failing_subject(facts: Facts) -> Iterator[Cause]:
    """A tool or a model that most of what failed has in common."""
    number = len(facts.affected)
    by_subject: dict[str, list[Trouble]] = {}
    for each in facts.troubles:
        if each.subject:
            by_subject.setdefault(each.subject, []).append(each)
    for subject, troubles in by_subject.items():
        tasks = {each.task_id for each in troubles}
        kind, _, name = subject.partition(" ")
        causes = Counter(each.cause for each in troubles).most_common(2)
        evidence = [
            (
                f"{len(tasks)} of {number} troubled tasks failed there, first at "
                f"{_clock(troubles[0])}."
            ),
            *(f"{count} times: {cause}" for cause, count in causes),
        ]
        if subject in facts.present.open_breakers:
            evidence.append("Its circuit breaker is open now.")
        yield Cause(
            title=f"The {kind} {name} fails"
            if kind == "tool"
            else f"The model's endpoint fails ({name})",
            score=0.9 * len(tasks) / number,
            evidence=tuple(evidence),
            remedy=(
                f"Look at the system behind {name}. To take it out of use meanwhile: fleetctl "
                f"tools disable {name} --reason …"
                if kind == "tool"
                else "Ask it: fleetctl models --probe. A second endpoint takes over by itself: "
                "FLEET_FALLBACK_BASE_URL."
            ),
        )


def _clock(trouble: Trouble) -> str:
    return f"{trouble.at:%H:%M:%S} UTC"
