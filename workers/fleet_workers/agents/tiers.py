"""What agent.toml says about tiers: which model is asked first, and when a larger one follows."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Tier = Literal["small", "medium", "large"]
FirstTier = Literal["small", "medium", "large", "auto"]


class TierSection(BaseModel):
    """How an agent climbs from one tier to the next.

    Where `climb` is on, a plan that cannot be used, or an answer whose confidence is under
    `climb_below`, is not put before a person at once: the next tier is asked, up to `highest`.
    Without `climb_below` that is the agent's `review_below`. With `tier = "auto"` requests whose
    difficulty, 0 to 1, is `hard_from` or more begin one tier higher than `small`; one in four
    messages of a dozen words is as hard as 0.5, most long ones are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    climb: bool = True
    highest: Tier = "large"
    climb_below: Annotated[float, Field(ge=0, le=1)] | None = None
    hard_from: Annotated[float, Field(ge=0, le=1)] = 0.5
