"""Rules about tools and models that fail, alone or together."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from fleet_workers.incident.cause import Cause
from fleet_workers.incident.facts import Facts, Trouble

_SEVERAL: Final = 3
_TOOL: Final = "tool "


def failing_together(facts: Facts) -> Iterator[Cause]:
    """Several tools whose calls fail at one time, so that what they share is to be looked at."""
    by_tool = {
        subject.removeprefix(_TOOL): {each.task_id for each in troubles}
        for subject, troubles in _by_subject(facts).items()
        if subject.startswith(_TOOL)
    }
    tasks = set().union(*by_tool.values())
    if len(by_tool) < _SEVERAL or len(tasks) <= max(map(len, by_tool.values())):
        return
    first = next(each for each in facts.troubles if each.subject.startswith(_TOOL))
    number = len(facts.affected)
    names = sorted(by_tool, key=lambda name: (-len(by_tool[name]), name))
    open_now = sorted(name for name in names if _TOOL + name in facts.present.open_breakers)
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
    for subject, troubles in _by_subject(facts).items():
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


def _by_subject(facts: Facts) -> dict[str, list[Trouble]]:
    """What failed, a tool or a model, and the troubles with it in their order."""
    found: dict[str, list[Trouble]] = {}
    for each in facts.troubles:
        if each.subject:
            found.setdefault(each.subject, []).append(each)
    return found


def _clock(trouble: Trouble) -> str:
    return f"{trouble.at:%H:%M:%S} UTC"
