"""What callers say about finished tasks: `POST /v1/tasks/{id}/feedback` and `…/feedback-link`."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StrictBool

from fleet_contracts.errors import UnknownTask
from fleet_contracts.feedback import MAX_COMMENT, Feedback, Rating
from fleet_workers.review.feedback import NotFinished, Opinion, give_feedback
from fleet_workers.review.feedback_links import KEY_NAME, LIFETIME, FeedbackLink, sign_link
from fleet_workers.store import views
from fleet_workers.store.engine import store_errors
from fleet_workers.store.feedback import FeedbackSource
from fleet_workers.store.signing_keys import signing_key
from fleet_workers.web.access import Submitter
from fleet_workers.web.bodies import read_body
from fleet_workers.web.letters import body_schema, parse_body
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources

router = APIRouter(prefix="/v1/tasks", tags=["feedback"])
_MAX_BODY_BYTES = 32 * 1024  # two thousand characters, each escaped
_SAYS_SOMETHING: list[JsonValue] = [
    {"required": ["rating"], "properties": {"rating": {"enum": ["good", "bad"]}}},
    {"required": ["comment"], "properties": {"comment": {"pattern": r"\S"}}},
    {"required": ["flag"], "properties": {"flag": {"const": True}}},
]


class FeedbackRequest(BaseModel):
    """At least one of the three. A flag, or a bad rating with a comment, opens a review."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"anyOf": _SAYS_SOMETHING}
    )

    rating: Rating | None = None
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""
    flag: StrictBool = False


class LinkView(BaseModel):
    """An address at which the task can be judged without a key, until then."""

    model_config = ConfigDict(frozen=True)

    url: str
    expires_at: AwareDatetime


# The key is taken before the body is read, so that strangers cannot fill the memory.
async def _body(_: Submitter, request: Request) -> bytes:
    return await read_body(request, limit_bytes=_MAX_BODY_BYTES)


@router.post(
    "/{task_id}/feedback",
    status_code=HTTPStatus.CREATED,
    responses=documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ),
    openapi_extra=body_schema(FeedbackRequest),
)
def post_feedback(
    resources: Resources,
    holder: Submitter,
    task_id: UUID,
    body: Annotated[bytes, Depends(_body)],
) -> Feedback:
    """Say how a finished task went. What a key said before about the task is replaced."""
    said = parse_body(FeedbackRequest, body)
    with resources.transaction() as connection:
        row, letters = give_feedback(
            connection,
            task_id,
            Opinion(rating=said.rating, comment=said.comment, flag=said.flag),
            tenant=holder.sees,
            source=FeedbackSource.API,
        )
    resources.publish(letters)
    return Feedback(
        task_id=row.task_id,
        rating=said.rating,
        comment=row.comment,
        flag=row.flagged,
        review_id=row.review_id,
        created_at=row.created_at,
    )


@router.post(
    "/{task_id}/feedback-link",
    status_code=HTTPStatus.CREATED,
    responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
def make_feedback_link(
    request: Request,
    resources: Resources,
    holder: Submitter,
    task_id: UUID,
    days: Annotated[int, Query(ge=1, le=365, description="How long it works.")] = LIFETIME.days,
) -> LinkView:
    """An address for the customer: a page that asks how it went. It holds no personal data."""
    with resources.transaction() as connection:
        view = views.view(connection, task_id, tenant=holder.sees)
    if view is None:
        raise UnknownTask(f"No task {task_id} is known to this key.")
    if view.finished_at is None:
        raise NotFinished(
            f"The task is {view.state.replace('_', ' ')}: ask for a link once it has ended."
        )
    expires_at = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    with store_errors(), resources.engine.begin() as connection:
        key = signing_key(connection, KEY_NAME)
    token = sign_link(FeedbackLink(task_id=task_id, expires_at=expires_at), key=key)
    base = (resources.console.public_url or str(request.base_url)).rstrip("/")
    return LinkView(url=f"{base}/feedback/{token}", expires_at=expires_at)
