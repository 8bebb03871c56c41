"""What agent.toml says about the cache: which replies of models are used again, and how long."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from fleet_workers.models.asked_for import CacheRules
from fleet_workers.models.caching.wording import stems

_KNOWN_FROM: Final = 2
"""A word in so many examples belongs to what an agent does; in one, it may be a name."""


class CacheSection(BaseModel):
    """How replies of models to this agent are used again; never a tool's result, or a write.

    `exact` answers the very same question from the store, and lets tasks that ask it at the same
    moment share a call. `semantic` also answers a first request that says the same in other words,
    of any customer of the tenant: turn it on where what an agent does first depends on the words of
    a request alone. It is alike from a cosine of `alike_from` on. A stored reply is used for
    `hours`; 0 stores none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exact: bool = True
    semantic: bool = False
    hours: Annotated[float, Field(ge=0, le=24 * 30)] = 24
    alike_from: Annotated[float, Field(ge=0.8, le=1)] = 0.88

    def rules(self) -> CacheRules:
        """The same as models see it."""
        return CacheRules(
            exact=self.exact,
            semantic=self.semantic and self.exact,
            lifetime=timedelta(hours=self.hours),
            alike_from=self.alike_from,
        )


def known_stems(examples: Iterable[str]) -> frozenset[str]:
    """Stems of the words that several of an agent's examples use: they are no names."""
    counted = Counter(stem for each in examples for stem in stems(each))
    return frozenset(stem for stem, count in counted.items() if count >= _KNOWN_FROM)
