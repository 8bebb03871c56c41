"""For whom and for what a model is asked: what cache and batching must know and no model sees."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

Source = Literal["model", "exact_cache", "semantic_cache", "in_flight", "batch", "batch_api"]
"""Where a reply came from: a call of its own, one stored before, one that another task was waiting
for at that moment, one call for several tasks, or the provider's Batch API."""

OWN_CALL: Final = "model"

DATA_MARK: Final = "\n\nData from the calling system:\n"
"""Stands in a request between the customer's words and the producer's data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRules:
    """How requests of an agent share calls: at most `most` a call, 1 for none.

    `most_tokens` bounds their own words together; the first of them waits for others at most
    `longest_wait_seconds`, and only while a like request is under way. `bulk` sends those of
    priority bulk to the provider's Batch API.
    """

    most: int = 1
    most_tokens: int = 4000
    longest_wait_seconds: float = 0.1
    bulk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """How replies of an agent are used again: for the very same question, for one like it.

    A stored reply is used for `lifetime`; at 0 only questions in flight together share. Two
    questions are alike where the cosine of their vectors is at least `alike_from`.
    """

    exact: bool = True
    semantic: bool = False
    lifetime: timedelta = timedelta(hours=24)
    alike_from: float = 0.88


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFor:
    """The task behind a request.

    `release` is the agent release's id, `text` the request's words as the model sees them, with
    placeholders for personal data. `is_first` tells that nothing but the request has been told
    yet: no earlier turn, no result, no word of a person. `flagged` tells that the request shows
    signs of manipulation. `writes` names the release's tools that change something, `outward` those
    that look things up outside, to where what they are asked may be told on. `about` is the
    end of the system message, which tells whom the task is about: all before it is the same for
    every task of the release. `personal` tells that the request holds personal data, hidden or
    not. `batching` and `caching` are what the agent's file says.
    """

    task_id: str
    tenant: str
    agent: str
    release: str
    customer: str | None
    priority: str
    text: str
    is_first: bool
    flagged: bool
    writes: frozenset[str] = frozenset()
    outward: frozenset[str] = frozenset()
    about: str = ""
    personal: bool = False
    batching: BatchRules = BatchRules()
    caching: CacheRules = CacheRules()
