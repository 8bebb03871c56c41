"""What other systems are told of reviews: the message on `human.review`, and webhooks' bodies.

A reader must take fields and kinds that it does not know: new ones may come within a version.
"""

from enum import IntEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

REVIEW_SCHEMA_VERSION: Final = 1


class ReviewPriority(IntEnum):
    """How soon a person should look; the store's order."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ReviewLinks(_Told):
    """Where to read and decide. Paths of the fleet's web process, or addresses behind `base_url`.

    A `POST` to `decide` and one of `/claim`, `/release`, `/approve`, `/edit`, `/reject`,
    `/answer`, `/ask`, `/reassign` decides.
    """

    review: str
    decide: str
    task: str
    journal: str
    console: str


class ReviewDecision(_Told):
    """What came of a review. `ruling` is `closed` where its task ended in another way.

    `arguments` are those with which a person lets an action be done, where they were changed.
    """

    ruling: str
    text: str = ""
    by: str | None = None
    at: AwareDatetime | None = None
    arguments: dict[str, Any] | None = None


class ReviewMessage(_Told):
    """One thing that a person must decide.

    The same `id` may come more than once: it is the same review. `kind` says why a person must
    look, `state` is `waiting` until it is decided. `priority` is 0 (urgent) to 3 (low); `due_at` is
    when it is overdue. `group` and `skills` say who should take it. `packet` is all that is known,
    or null where the receiver gets no packets. `base_url` is what the links' paths stand behind,
    where the fleet was told.
    """

    schema_version: Literal[1] = REVIEW_SCHEMA_VERSION
    id: UUID
    task_id: UUID
    tenant: str
    agent: str
    customer: str | None = None
    kind: str
    state: str
    priority: Annotated[int, Field(ge=0, le=3)] = ReviewPriority.NORMAL
    created_at: AwareDatetime
    due_at: AwareDatetime | None = None
    group: str | None = None
    skills: tuple[str, ...] = ()
    assignee: str | None = None
    reason: str
    packet: dict[str, Any] | None = None
    decision: ReviewDecision | None = None
    links: ReviewLinks
    base_url: str | None = None


class WaitingReviews(_Told):
    """How many reviews of a tenant and group wait; `new` and `overdue` since the last notice."""

    tenant: str
    group: str | None
    waiting: int
    new: int
    newly_overdue: int
    overdue: int
    urgent: int
    oldest_at: AwareDatetime | None = None


class AgentTrouble(_Told):
    """An agent that works with less than it should, or not at all, and why, in words."""

    agent: str
    why: str


class Notice(_Told):
    """What a notice tells: `subject` and `text` as an e-mail has them, and the facts behind them.

    `well_again` are agents that an earlier notice called degraded or offline.
    """

    section: str
    subject: str
    text: str
    waiting: tuple[WaitingReviews, ...] = ()
    degraded: tuple[AgentTrouble, ...] = ()
    offline: tuple[AgentTrouble, ...] = ()
    well_again: tuple[str, ...] = ()
    base_url: str | None = None


class ReviewEvent(_Told):
    """Body of a webhook about a review. `timestamp` is when it happened."""

    type: Literal["review.opened", "review.decided"]
    timestamp: AwareDatetime
    data: ReviewMessage


class NoticeEvent(_Told):
    """Body of a webhook with a notice."""

    type: Literal["notice"]
    timestamp: AwareDatetime
    data: Notice
