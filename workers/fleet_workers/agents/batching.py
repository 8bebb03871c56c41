"""What agent.toml says about batching: how many alike requests share one model call."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fleet_workers.models.asked_for import BatchRules


class BatchingSection(BaseModel):
    """How first requests of one tenant that are in flight together in a worker share calls.

    At most `most` share one; 1 is none. While a like request is under way, the first that comes
    waits `longest_wait_ms` for others. `most_tokens` bounds the customers' own words in one call,
    a token taken for four bytes. The answers to all must fit into FLEET_MODEL_MAX_OUTPUT_TOKENS.
    `bulk` sends the first questions of tasks of priority bulk, where they have no deadline and no
    session, to the provider's Batch API, which takes up to a day and costs less.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: Annotated[int, Field(ge=1, le=32)] = 1
    longest_wait_ms: Annotated[int, Field(ge=0, le=5000)] = 100
    bulk: bool = False
    most_tokens: Annotated[int, Field(ge=100, le=100_000)] = 4000

    def rules(self) -> BatchRules:
        """The same as models see it."""
        return BatchRules(
            most=self.most,
            most_tokens=self.most_tokens,
            longest_wait_seconds=self.longest_wait_ms / 1000,
            bulk=self.bulk,
        )
