"""How soon people look at what an agent puts before them, who they are, and what if they do not."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from fleet_contracts.outcome import ReviewKind
from fleet_contracts.reviews import ReviewPriority

GroupName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)]
KindName = Literal[
    "default",
    "low_confidence",
    "approval",
    "out_of_scope",
    "unknown_tool",
    "invalid_plan",
    "ungrounded",
    "in_doubt",
    "over_budget",
    "suspicious",
    "tool_away",
    "sampled",
    "flagged",
]
REFUSABLE = frozenset({ReviewKind.APPROVAL, ReviewKind.OVER_BUDGET, ReviewKind.TOOL_AWAY})
"""Kinds about an action that is not done where nobody allows it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Escalation(_Part):
    """What happens `after_minutes` past the due time to an item that still waits.

    `remind` announces it again, `raise` makes it more urgent by one, `hand_to` gives it to
    another group, `refuse` rejects an action that nobody has allowed, and the agent goes on
    without it.
    """

    do: Literal["remind", "raise", "hand_to", "refuse"]
    after_minutes: Annotated[float, Field(ge=0, le=60 * 24 * 90)] = 0
    group: GroupName | None = None

    @model_validator(mode="after")
    def _names_a_group(self) -> "Escalation":
        if (self.do == "hand_to") != (self.group is not None):
            raise ValueError("hand_to needs a group, and nothing else takes one")
        return self


class ReviewRule(_Part):
    """How items of one kind are looked at. What is left out is as for `default`, or the fleet's.

    `due_minutes` run from the moment at which the item is opened. `group` names who decides it;
    without one everybody may. `skills` are what they should know.
    """

    due_minutes: Annotated[float, Field(gt=0, le=60 * 24 * 90)] | None = None
    priority: Literal["urgent", "high", "normal", "low"] | None = None
    group: GroupName | None = None
    skills: tuple[GroupName, ...] | None = None
    escalate: tuple[Escalation, ...] | None = None

    @model_validator(mode="after")
    def _is_in_order(self) -> "ReviewRule":
        after = [each.after_minutes for each in self.escalate or ()]
        if after != sorted(after):
            raise ValueError("escalate must be in the order of after_minutes")
        if any(each.do == "refuse" for each in (self.escalate or ())[:-1]):
            raise ValueError("nothing follows a refuse in escalate")
        return self


class Placement(_Part):
    """Where an item stands in the queue: the rules of the agent's file and the fleet's together."""

    due: timedelta
    priority: ReviewPriority
    group: str | None
    skills: tuple[str, ...]
    escalate: tuple[Escalation, ...]

    def escalates_after(self, done: int) -> timedelta | None:
        """Time from the opening to the escalation after `done` others; None after the last."""
        if done >= len(self.escalate):
            return None
        return self.due + timedelta(minutes=self.escalate[done].after_minutes)


_DAY = 24 * 60.0
_FLEETS: Mapping[ReviewKind, tuple[float, ReviewPriority]] = {
    ReviewKind.IN_DOUBT: (60, ReviewPriority.HIGH),
    ReviewKind.SUSPICIOUS: (60, ReviewPriority.HIGH),
    ReviewKind.APPROVAL: (4 * 60, ReviewPriority.HIGH),
    ReviewKind.OVER_BUDGET: (4 * 60, ReviewPriority.NORMAL),
    ReviewKind.SAMPLED: (7 * _DAY, ReviewPriority.LOW),
    ReviewKind.FLAGGED: (_DAY, ReviewPriority.NORMAL),
}
_OTHERS = (8 * 60, ReviewPriority.NORMAL)
_ESCALATE = (Escalation(do="raise"), Escalation(do="remind", after_minutes=60))

ReviewRules = Mapping[KindName, ReviewRule]


def place(rules: ReviewRules, kind: ReviewKind) -> Placement:
    """Where an item of a kind stands by an agent's rules."""
    own, default = rules.get(kind.value, ReviewRule()), rules.get("default", ReviewRule())
    minutes, priority = _FLEETS.get(kind, _OTHERS)
    named = own.priority or default.priority
    asked = own.escalate if own.escalate is not None else default.escalate
    steps = asked if asked is not None else _ESCALATE
    return Placement(
        due=timedelta(minutes=own.due_minutes or default.due_minutes or minutes),
        priority=ReviewPriority[named.upper()] if named else priority,
        group=own.group or default.group,
        skills=own.skills if own.skills is not None else default.skills or (),
        # A default that refuses is meant for what can be refused.
        escalate=tuple(each for each in steps if each.do != "refuse" or kind in REFUSABLE),
    )


def check_rules(rules: ReviewRules) -> None:
    """Make sure that only what can be refused is.

    Raises:
        ValueError: A kind without an action to refuse says `refuse`.
    """
    for name, rule in rules.items():
        refuses = any(each.do == "refuse" for each in rule.escalate or ())
        if refuses and name != "default" and ReviewKind(name) not in REFUSABLE:
            raise ValueError(
                f"reviews.{name} cannot refuse: only {', '.join(sorted(REFUSABLE))} are about an "
                "action that can be left undone"
            )
