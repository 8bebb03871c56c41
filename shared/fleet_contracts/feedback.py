"""What a customer, or a program for one, says about a finished task."""

from typing import Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

MAX_COMMENT: Final = 2000
"""Characters of a comment."""

Rating = Literal["good", "bad"]


class Feedback(BaseModel):
    """What was said (the body of `POST /v1/tasks/{id}/feedback`, answered with 201).

    `review_id` is the review in which a person looks into it, None where nobody needs to.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    task_id: UUID
    rating: Rating | None = None
    comment: str = ""
    flag: bool = False
    review_id: UUID | None = None
    created_at: AwareDatetime
