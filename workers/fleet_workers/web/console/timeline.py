"""Turns journal steps into the entries of a task's timeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from fleet_workers.store.journal import Step, StepKind, StepState
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.web.console.step_reading import (
    Check,
    Fold,
    Tone,
    as_words,
    checks_of,
    folds_of,
    standing_of,
    summary_of,
)

TIMED = frozenset({StepKind.PLAN, StepKind.TOOL})
"""Steps that touch the outside; all other kinds are notes, made in no time."""

_OFFLINE_PREFIX = "offline-"
_PROBLEMS = frozenset({"bad", "wait"})
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One step as a person reads it. `duration` is None for notes and for open steps.

    `run` counts the workers' runs from 1, and `run_began` says why there was another one. `after`
    is the time since the task was taken in, `share` the duration in percent of the longest step.
    `review` is the item that a person was asked in, or has decided.
    """

    seq: int
    kind: str
    name: str
    tone: Tone
    status: str
    summary: str
    run: int
    run_began: str
    started_at: datetime | None
    after: timedelta | None
    duration: timedelta | None
    share: float | None
    model: str | None
    tokens: int | None
    cost_usd: Decimal | None
    checks: tuple[Check, ...]
    folds: tuple[Fold, ...]
    review: UUID | None

    @property
    def is_problem(self) -> bool:
        """Whether something was refused, failed, stopped, doubted, or has not ended."""
        return self.tone in _PROBLEMS or any(each.ruling != "pass" for each in self.checks)

    @property
    def passed(self) -> int:
        """How many checks had nothing against it."""
        return sum(each.ruling == "pass" for each in self.checks)

    @property
    def objections(self) -> list[Check]:
        """The checks that did have something against it."""
        return [each for each in self.checks if each.ruling != "pass"]


def build_timeline(
    steps: Sequence[Step],
    *,
    begun_at: datetime,
    reviews: Sequence[ReviewItem] = (),
    epochs: Mapping[int, int] | None = None,
) -> list[Entry]:
    """One entry a step, in order.

    The task was taken in at `begun_at`; `epochs` tells by which claim each step was written last.
    """
    runs = _runs(steps, epochs or {})
    places = _review_places(steps, reviews)
    longest = max((duration_of(step) or _NONE for step in steps), default=_NONE)
    began = {
        run: _why_again(steps[place - 1]) if place else ""
        for place, run in reversed(list(enumerate(runs)))
    }
    return [
        _entry(
            step,
            run=run,
            run_began=began[run],
            begun_at=begun_at,
            longest=longest,
            review=places.get(step.seq),
        )
        for step, run in zip(steps, runs, strict=True)
    ]


def used_offline_model(steps: Sequence[Step]) -> bool:
    """Tell whether the built-in offline model had a part in it."""
    return any(
        step.usage is not None and step.usage.model.startswith(_OFFLINE_PREFIX) for step in steps
    )


def _entry(
    step: Step,
    *,
    run: int,
    run_began: str,
    begun_at: datetime,
    longest: timedelta,
    review: UUID | None,
) -> Entry:
    tone, status = standing_of(step)
    result = step.result or {}
    duration = duration_of(step)
    after = step.started_at - begun_at if step.started_at is not None else None
    return Entry(
        seq=step.seq,
        kind=step.kind.value,
        name=step.name,
        tone=tone,
        status=status,
        summary=summary_of(step, result),
        run=run,
        run_began=run_began,
        started_at=step.started_at,
        after=after,
        duration=duration,
        share=100 * (duration / longest) if duration and longest else None,
        model=step.usage.model if step.usage else as_words(result.get("model")) or None,
        tokens=step.usage.tokens if step.usage else None,
        cost_usd=step.usage.cost_usd if step.usage else None,
        checks=checks_of(step, result),
        folds=tuple(folds_of(step, result)),
        review=review,
    )


def duration_of(step: Step) -> timedelta | None:
    """How long a model or a tool took; None for notes and for steps that have not ended."""
    if step.kind not in TIMED or step.started_at is None or step.finished_at is None:
        return None
    return max(_NONE, step.finished_at - step.started_at)


def _why_again(before: Step) -> str:
    """Why a worker took the task up again after this step."""
    match before.kind:
        case StepKind.TRIAGE:
            return f"in the pool of {as_words((before.result or {}).get('agent'))}"
        case StepKind.FAILURE:
            return "the next attempt"
        case StepKind.REVIEW:
            return "after a person's word"
        case _:
            return "taken up again: by another worker, after a stop or a pause"


def _runs(steps: Sequence[Step], epochs: Mapping[int, int]) -> list[int]:
    """The number of each step's run. A step taken over from a dead worker belongs to the later.

    A decision is written under the claim of the run that asked for it.
    """
    numbers: list[int] = []
    run, last = 1, None
    for step in steps:
        epoch = epochs.get(step.seq, last)
        if last is not None and epoch is not None and epoch > last:
            run += 1
        last = epoch if last is None else max(last, epoch or last)
        numbers.append(run)
    return numbers


def _review_places(steps: Sequence[Step], reviews: Sequence[ReviewItem]) -> dict[int, UUID]:
    """Which step is about which item: those asked in by their order, decisions by their id."""
    known = {str(each.id): each.id for each in reviews}
    left = list(reviews)
    found: dict[int, UUID] = {}
    for step in steps:
        if step.kind is not StepKind.REVIEW or step.state is not StepState.DONE:
            continue
        named = known.get(str((step.result or {}).get("review")))
        asked = next((each for each in left if each.kind == step.name), None)
        if named is not None:
            found[step.seq] = named
        elif asked is not None:
            found[step.seq] = asked.id
            left.remove(asked)
    return found
