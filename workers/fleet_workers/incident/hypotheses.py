"""Likely causes, by rules that anybody can check: how much of the trouble would each explain.

A cause's score is the share of troubled tasks that it would explain, weighed by how seldom that
would be so by chance. None is certain.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from fleet_workers.incident.cause import Cause
from fleet_workers.incident.facts import Facts
from fleet_workers.incident.failing import failing_subject, failing_together

LEAST_SCORE: Final = 0.2
_SURGE: Final = 3.0
_SURGE_LEAST: Final = 50
_SILENCE: Final = timedelta(minutes=2)
_LATE_SECONDS: Final = 60.0
_FEW_TASKS: Final = 3
_FEWEST_BUCKETS: Final = 5
_BUSY: Final = 10  # changes in a bucket, below which silence says nothing
_BAD_RELEASE_TASKS: Final = 5


Rule = Callable[[Facts], Iterator[Cause]]


def likely_causes(facts: Facts) -> list[Cause]:
    """Causes that explain something, the likeliest first."""
    found = [cause for rule in _RULES for cause in rule(facts)]
    return sorted(
        (each for each in found if each.score >= LEAST_SCORE), key=lambda each: -each.score
    )


def _bad_release(facts: Facts) -> Iterator[Cause]:
    """A release that came shortly before, and whose tasks are in trouble more than others'."""
    came = {act.what: act for act in facts.acts if act.kind == "release"}
    for release, (tasks, bad) in facts.releases.items():
        if release not in came or bad < _BAD_RELEASE_TASKS:
            continue
        agent = release.partition("@")[0].partition(":")[0]
        others = [
            numbers
            for other, numbers in facts.releases.items()
            if other != release and other.startswith(agent)
        ]
        other_tasks, other_bad = (
            (sum(column) for column in zip(*others, strict=True)) if others else (0, 0)
        )
        share = bad / tasks
        other_share = other_bad / other_tasks if other_tasks else 0.0
        if share <= other_share * 1.5:
            continue
        evidence = [
            f"{bad} of its {tasks} tasks ended badly or were handed to people.",
            f"It was first at work at {came[release].at:%H:%M:%S} UTC.",
        ]
        if other_tasks:
            evidence.append(f"Of other releases of the agent: {other_bad} of {other_tasks}.")
        yield Cause(
            title=f"The new release {release} does worse",
            # A release with none beside it may do no worse than the agent always did.
            score=(0.95 if others else 0.5) * (share - other_share) * _explained(facts, release),
            evidence=tuple(evidence),
            remedy="Start the pool with the release before; its prompt and manifest stand in the "
            "agent's folder. Then replay what died: fleetctl dead replay --dry-run.",
        )


def _explained(facts: Facts, release: str) -> float:
    """The share of troubled tasks that are of this release; 1 where only people were asked."""
    of_known = [each for each in facts.troubles if each.release is not None]
    if not of_known:
        return 1.0
    return sum(each.release == release for each in of_known) / len(of_known)


def _poison(facts: Facts) -> Iterator[Cause]:
    """Few tasks that kill every worker that takes them."""
    killers = {each.task_id for each in facts.troubles if each.code == "max_deliveries"}
    if killers:
        number = len(facts.affected)
        few = 1.0 if len(killers) <= _FEW_TASKS else 0.6
        yield Cause(
            title="A request kills the workers that take it"
            if len(killers) == 1
            else f"{len(killers)} requests kill the workers that take them",
            score=few * max(0.5, len(killers) / number),
            evidence=(
                (
                    f"{len(killers)} tasks lost every worker and were given up (max_deliveries): "
                    f"{', '.join(str(each) for each in sorted(killers)[:5])}."
                ),
                f"{number} tasks were in trouble in all.",
            ),
            remedy="Look at them with fleetctl dead show, and do not replay them before the tool "
            "or library that they break is mended. Their neighbours were not harmed.",
        )


def _held_by_people(facts: Facts) -> Iterator[Cause]:
    """A pause or a disabled tool behind which tasks wait."""
    away = {each.task_id for each in facts.troubles if each.code in ("tool_disabled", "tool_away")}
    waiting = sum(facts.present.waiting.values())
    for act in facts.acts:
        stops = "paused" in act.what or "disabled" in act.what
        if act.kind == "pause" and stops and waiting:
            yield Cause(
                title=f"It was paused: {act.what}",
                score=0.7,
                evidence=(
                    f"By {act.who} at {act.at:%H:%M:%S} UTC: {act.why or 'no reason given'}.",
                    f"{waiting} tasks wait now.",
                ),
                remedy="Resume it when its reason is gone: fleetctl agents pauses.",
            )
        if act.kind == "switch" and stops and away:
            yield Cause(
                title=f"A tool was taken out of use: {act.what}",
                score=0.85 * len(away) / len(facts.affected),
                evidence=(
                    f"By {act.who} at {act.at:%H:%M:%S} UTC: {act.why or 'no reason given'}.",
                    f"{len(away)} tasks could not go on without it.",
                ),
                remedy="Enable it when its reason is gone: fleetctl tools list.",
            )


def _nobody_serves(facts: Facts) -> Iterator[Cause]:
    present = facts.present
    for agent, number in present.waiting.items():
        late = present.oldest_seconds.get(agent, 0.0) > _LATE_SECONDS
        if late and agent not in present.served and not present.serves_all:
            yield Cause(
                title=f"No pool serves {agent}",
                score=0.9,
                evidence=(
                    (
                        f"{number} tasks wait, the oldest for "
                        f"{present.oldest_seconds[agent]:.0f} s, and no worker process of this "
                        "agent is alive."
                    ),
                ),
                remedy=f"Start one: fleetctl worker {agent}. If it ends at once, fleetctl doctor.",
            )
    if not present.janitors:
        yield Cause(
            title="No janitor is running",
            score=0.6,
            evidence=("Retries do not come due, and tasks of dead workers stay where they are.",),
            remedy="Start one, or two: fleetctl janitor.",
        )


def _broker_away(facts: Facts) -> Iterator[Cause]:
    if facts.present.unsent:
        yield Cause(
            title="The broker does not take messages",
            score=0.85,
            evidence=(
                f"{facts.present.unsent} messages have waited for it for more than 30 s.",
                f"The last error: {facts.present.unsent_error or 'none was noted'}.",
            ),
            remedy="Mend RabbitMQ; what waits is sent by itself. fleetctl doctor tells more.",
        )


def _store_away(facts: Facts) -> Iterator[Cause]:
    """A busy fleet of which nothing at all was written for a while: the store did not take it."""
    numbers = [sum(bucket.counts.values()) for bucket in facts.buckets]
    if len(numbers) < _FEWEST_BUCKETS:
        return
    at_work = sorted(number for number in numbers if number)
    busy = at_work[len(at_work) // 2] if at_work else 0
    step = facts.buckets[1].at - facts.buckets[0].at
    silent = _longest_silence(numbers)
    if busy >= _BUSY and silent is not None and (silent[1] - silent[0]) * step >= _SILENCE:
        start = facts.buckets[silent[0]].at
        end = facts.buckets[silent[1]].at
        yield Cause(
            title="The store took nothing for a while",
            score=0.8,
            evidence=(
                (
                    f"No task changed its state from {start:%H:%M} to {end:%H:%M} UTC; usually "
                    f"{busy} changes are written in {step.total_seconds() / 60:.0f} min."
                ),
            ),
            remedy="Look at PostgreSQL's log of that time. Nothing is lost: workers keep their "
            "messages and go on.",
        )


def _longest_silence(numbers: list[int]) -> tuple[int, int] | None:
    """The longest run of zeros with something before and after it, as places from and up to."""
    best: tuple[int, int] | None = None
    start = None
    seen = False
    for place, number in enumerate(numbers):
        if number:
            if start is not None and (best is None or place - start > best[1] - best[0]):
                best = (start, place)
            start, seen = None, True
        elif seen and start is None:
            start = place
    return best


def _money(facts: Facts) -> Iterator[Cause]:
    spent = {each.task_id for each in facts.troubles if each.code in ("over_budget", "budget")}
    if spent:
        yield Cause(
            title="A limit on money is reached",
            score=0.85 * len(spent) / len(facts.affected),
            evidence=(f"{len(spent)} tasks would have passed a limit, and wait for people.",),
            remedy="See what was spent: fleetctl spend, fleetctl models. Raise the limit in the "
            "agent's file or the rights, or let them wait.",
        )


def _surge(facts: Facts) -> Iterator[Cause]:
    now, before = facts.totals.get("queued", 0), facts.before.get("queued", 0)
    late = any(each > _LATE_SECONDS for each in facts.present.oldest_seconds.values())
    # Where nothing was before, nobody knows what is usual.
    is_more = before > 0 and facts.troubles
    if now >= max(_SURGE_LEAST, before * _SURGE) and (late or is_more):
        yield Cause(
            title="Many more requests than usual",
            score=0.4 if late else 0.25,
            evidence=(f"{now} were queued, {before} in as long a time before.",),
            remedy="Add workers (fleetctl pools shows who lacks some), or limit the tenant that "
            "sends them: fleetctl limits.",
        )


_RULES: Final[tuple[Rule, ...]] = (
    failing_together,
    failing_subject,
    _bad_release,
    _poison,
    _held_by_people,
    _nobody_serves,
    _broker_away,
    _store_away,
    _money,
    _surge,
)
