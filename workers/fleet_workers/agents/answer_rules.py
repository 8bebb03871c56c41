"""What an agent's file forbids its answers to say: patterns with a reason each."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from fleet_workers.rails.promises import AnswerPolicy, Promise, SayingRule


def _checked_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


Pattern = Annotated[
    str, StringConstraints(min_length=2, max_length=500), AfterValidator(_checked_pattern)
]


class ForbiddenSaying(BaseModel):
    """One rule. `says` are regular expressions, whose case does not matter.

    It does not hold where a tool of `unless` has done its work in the same task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    says: tuple[Pattern, ...] = Field(min_length=1)
    reason: Annotated[str, StringConstraints(min_length=3, max_length=300)]
    unless: tuple[str, ...] = ()


class AnswerSection(BaseModel):
    """`[answers]` of agent.toml.

    `may_promise` names kinds of promises that need no tool behind them, where the built-in rules
    want one: refund, credit, discount, date, guarantee.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forbidden: tuple[ForbiddenSaying, ...] = ()
    may_promise: frozenset[Promise] = frozenset()

    def policy(self) -> AnswerPolicy:
        """The rules as the outbound rails take them."""
        return AnswerPolicy(
            forbidden=tuple(
                SayingRule(
                    patterns=tuple(re.compile(each, re.IGNORECASE) for each in rule.says),
                    reason=rule.reason,
                    unless=frozenset(rule.unless),
                )
                for rule in self.forbidden
            ),
            may_promise=self.may_promise,
        )
