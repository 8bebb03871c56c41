"""Decides which tier is asked, and whether a larger one is asked before a person is."""

from collections.abc import Mapping
from typing import Final

from fleet_contracts.outcome import OutcomeKind, ReviewKind
from fleet_workers.agents import AgentRelease
from fleet_workers.controller.decision import Decision, Finish, Park
from fleet_workers.controller.plan import Climb, Plan, plans
from fleet_workers.controller.situation import Situation, is_suspicious
from fleet_workers.models.candidates import TIERS
from fleet_workers.models.difficulty import difficulty_of
from fleet_workers.models.difficulty_features import Example
from fleet_workers.rails.normalise import normalise
from fleet_workers.review.binding import is_decision

_MAY_CLIMB: Final = frozenset(
    {
        ReviewKind.LOW_CONFIDENCE,
        ReviewKind.UNGROUNDED,
        ReviewKind.INVALID_PLAN,
        ReviewKind.UNKNOWN_TOOL,
    }
)
_TRIES: Final = 2
"""After so many calls of a larger model that gave no answer, a person is asked after all."""


def difficulty_for(situation: Situation) -> float | None:
    """How hard the request looks, 0 to 1; None where the agent's file names the tier itself."""
    if situation.release.manifest.tier != "auto":
        return None
    text = normalise(situation.envelope.input).text
    return difficulty_of(text, _examples(situation.release))


def standing_tier(situation: Situation) -> str:
    """The tier that the task's next plan is asked of. What has climbed stays up."""
    climbs = _climbs(situation)
    return climbs[-1].to if climbs else _first_tier(situation)


def climb_from(situation: Situation, plan: Plan, decision: Decision) -> Climb | None:
    """The way up from a plan that has come to `decision`, or None where there is none.

    Never after a person has decided, never for a request that shows signs of manipulation, and
    never where another check than that of confidence has stopped the task.
    """
    reason = _doubt(situation, decision)
    if reason is None:
        return None
    tier = standing_tier(situation)
    above = _tier_above(situation, tier)
    # Where less than the tier was asked its budget is spent.
    if above is None or plan.tier != tier or _is_for_people(situation):
        return None
    asked = len(plans(situation.steps, situation.release.name))
    tried = [each for each in situation.steps if _tries_to_pass(each.request, plan)]
    if asked >= situation.release.manifest.limits.model_calls or len(tried) >= _TRIES:
        return None
    confidence = decision.confidence if isinstance(decision, Park) else None
    if isinstance(decision, Finish):
        confidence = decision.outcome.confidence
    return Climb(tier=tier, to=above, plan=plan.seq, reason=reason, confidence=confidence)


def last_passed(situation: Situation) -> int:
    """The number of the last plan that a larger model has been asked in place of; -1: none."""
    return max((each.plan for each in _climbs(situation)), default=-1)


def _examples(release: AgentRelease) -> tuple[Example, ...]:
    """Those with an intent in examples.jsonl, else those of golden.jsonl by the tools they need."""
    named = [(each.text, each.intent) for each in release.examples if each.intent is not None]
    return tuple(named or ((each.text, " ".join(each.tools)) for each in release.golden))


def _climbs(situation: Situation) -> list[Climb]:
    made = plans(situation.steps, situation.release.name)
    return [each.climb for each in made if each.climb is not None]


def _first_tier(situation: Situation) -> str:
    manifest = situation.release.manifest
    if manifest.tier != "auto":
        return manifest.tier
    above = _tier_above(situation, TIERS[0])
    difficulty = difficulty_for(situation) or 0.0
    is_hard = difficulty >= manifest.tiers.hard_from
    return above if above is not None and is_hard else TIERS[0]


def _tier_above(situation: Situation, tier: str) -> str | None:
    """The next tier that another model serves, where the agent's file allows it."""
    models = situation.first_models
    highest = situation.release.manifest.tiers.highest
    for above in TIERS[TIERS.index(tier) + 1 : TIERS.index(highest) + 1]:
        if models.get(above) not in {None, models.get(tier)}:
            return above
    return None


def _doubt(situation: Situation, decision: Decision) -> str | None:
    """Why a plan should not stand, as far as a larger model may know better."""
    manifest = situation.release.manifest
    if not manifest.tiers.climb:
        return None
    if isinstance(decision, Park):
        checks = decision.evidence.get("outbound", ())
        is_stopped = any(each.get("ruling") == "review" for each in checks)
        return decision.reason if decision.kind in _MAY_CLIMB and not is_stopped else None
    below = manifest.tiers.climb_below
    if below is None or not isinstance(decision, Finish):
        return None
    score = decision.outcome.confidence
    if decision.outcome.kind is not OutcomeKind.ANSWERED or score is None or score >= below:
        return None
    return f"Confidence {score:.2f} is under {below:.2f}, from which the answer stands."


def _is_for_people(situation: Situation) -> bool:
    return is_suspicious(situation.steps) or any(map(is_decision, situation.steps))


def _tries_to_pass(request: Mapping[str, object], plan: Plan) -> bool:
    """Whether a step asks a larger model in place of a plan; where it is done, it has passed it."""
    climbed = request.get("climbed_from")
    return isinstance(climbed, Mapping) and climbed.get("plan") == plan.seq
