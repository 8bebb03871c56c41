"""What follows where a budget leaves no room for a model call: a smaller one, a person, or no."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fleet_contracts.errors import BudgetError
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.controller.admission import Admission, ProposedQuestion
from fleet_workers.controller.decision import Finish, Park
from fleet_workers.controller.plan import tools_used
from fleet_workers.controller.rulings import SPEND_GATE
from fleet_workers.models.candidates import TIERS
from fleet_workers.store.journal import Journal, Step, StepKind

SHORT_ANSWER_TOKENS: Final = 1024
"""The longest answer that is asked for when money runs out: several times what a plan takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A question for which money is reserved; `degraded` is empty where it is as it was wanted."""

    question: ProposedQuestion
    degraded: Mapping[str, Any] = field(default_factory=dict)


def reserve(question: ProposedQuestion, admission: Admission, *, may_shrink: bool) -> Reserved:
    """Reserve for a question, or for a smaller one where the agent's file wants that.

    Raises:
        BudgetError: There is no room for the smallest one either.
    """
    try:
        admission.admit_question(question)
        return Reserved(question=question)
    except BudgetError as error:
        if not may_shrink or question.limits.when_spent != "smaller":
            raise
        first = error
    for smaller in _smaller(question):
        try:
            admission.admit_question(smaller)
        except BudgetError:
            continue
        return Reserved(question=smaller, degraded=_record(question, smaller, first))
    raise BudgetError(f"{first} A smaller model, or a shorter answer, would not fit either.")


def over_budget(error: BudgetError, question: ProposedQuestion, journal: Journal) -> Finish | Park:
    """End a task whose next model call cannot be paid for.

    What has changed something already is never refused: a person must see how far it came.
    """
    steps = journal.steps()
    if question.limits.when_spent != "refuse" or _has_changed_something(steps):
        return Park(kind=ReviewKind.OVER_BUDGET, reason=str(error))
    verdict = {"ruling": "refuse", "code": error.code, "reason": str(error)}
    journal.record(StepKind.GATE, SPEND_GATE, verdict)
    return Finish(
        outcome=Outcome(
            kind=OutcomeKind.REJECTED,
            reason=f"Nothing was changed: the budget is used up. {error}",
            tools_used=tools_used(steps),
        )
    )


def _smaller(question: ProposedQuestion) -> Iterator[ProposedQuestion]:
    """Each under a key of its own: what is reserved for one must never let a dearer one pass."""
    request = question.request
    place = TIERS.index(request.tier) if request.tier in TIERS else 0
    for tier in reversed(TIERS[:place]):
        yield replace(question, request=replace(request, tier=tier), key=f"{question.key}:{tier}")
    if (request.max_output_tokens or SHORT_ANSWER_TOKENS + 1) > SHORT_ANSWER_TOKENS:
        least = replace(request, tier=TIERS[0], max_output_tokens=SHORT_ANSWER_TOKENS)
        yield replace(question, request=least, key=f"{question.key}:short")


def _record(
    wanted: ProposedQuestion, smaller: ProposedQuestion, error: BudgetError
) -> dict[str, Any]:
    """The journal's form: what was asked for in place of what, and why."""
    record: dict[str, Any] = {"degraded_because": str(error)}
    if smaller.request.tier != wanted.request.tier:
        record["degraded_from"] = wanted.request.tier
    if smaller.request.max_output_tokens != wanted.request.max_output_tokens:
        record["most_tokens"] = smaller.request.max_output_tokens
    return record


def _has_changed_something(steps: Sequence[Step]) -> bool:
    """Whether a write was begun that is not known to have failed."""
    return any(
        step.kind is StepKind.TOOL
        and step.request.get("effect") == "write"
        and "error" not in (step.result or {})
        for step in steps
    )
