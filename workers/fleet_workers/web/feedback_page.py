"""The page behind a signed link, on which a customer judges an answer. Nobody signs in to it.

It tells nothing of the task but its date: whoever gets hold of a link learns nothing.
"""

from datetime import UTC, date, datetime
from http import HTTPStatus
from math import ceil
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from limits import RateLimitItemPerMinute

from fleet_contracts.errors import FleetError, InvalidInput
from fleet_contracts.feedback import MAX_COMMENT, Rating
from fleet_workers.resilience.limits import RateLimit
from fleet_workers.review.feedback import Opinion, give_feedback
from fleet_workers.review.feedback_links import KEY_NAME, read_link
from fleet_workers.store.engine import store_errors
from fleet_workers.store.feedback import FeedbackSource
from fleet_workers.store.finished import FinishedTask, find_finished
from fleet_workers.store.signing_keys import signing_key
from fleet_workers.web.bodies import read_body
from fleet_workers.web.console.forms import Fields, parse_form
from fleet_workers.web.console.rendering import page
from fleet_workers.web.errors import TooManyTries
from fleet_workers.web.problems import describe, retry_headers
from fleet_workers.web.resources import Resources, WebResources
from fleet_workers.web.tries import network_of

router = APIRouter(prefix="/feedback", include_in_schema=False)

_A_MINUTE = RateLimitItemPerMinute(30)  # from one address: a person needs two
_MAX_FORM_BYTES = 32 * 1024
_NOT_INDEXED = {"X-Robots-Tag": "noindex, nofollow"}

State = Literal["ask", "thanks", "gone", "fault"]


async def _form(request: Request) -> bytes:
    return await read_body(request, limit_bytes=_MAX_FORM_BYTES)


@router.get("/{token}")
def show_feedback_form(request: Request, resources: Resources, token: str) -> Response:
    """The form, or a page that says that the link leads nowhere."""
    try:
        _count(request, resources)
        task = _task_of(resources, token)
    except FleetError as error:
        return _fault(request, error)
    if task is None:
        return _show(request, "gone", status=HTTPStatus.NOT_FOUND)
    return _show(request, "ask", day=task.finished_at.astimezone(UTC).date())


@router.post("/{token}")
def take_feedback(
    request: Request, resources: Resources, token: str, body: Annotated[bytes, Depends(_form)]
) -> Response:
    """Keep what was said; the latest of a link replaces the former."""
    try:
        _count(request, resources)
        task = _task_of(resources, token)
        if task is None:
            return _show(request, "gone", status=HTTPStatus.NOT_FOUND)
        opinion = _opinion(parse_form(body))
        if opinion is None:
            day = task.finished_at.astimezone(UTC).date()
            return _show(request, "ask", day=day, fault="Choose one of the two first.")
        resources.show_only(task.tenant)
        with resources.transaction() as connection:
            _, letters = give_feedback(
                connection,
                task.id,
                opinion,
                tenant=task.tenant,
                source=FeedbackSource.LINK,
            )
    except FleetError as error:
        return _fault(request, error)
    resources.publish(letters)
    return _show(request, "thanks")


def _count(request: Request, resources: WebResources) -> None:
    address = network_of(request.client.host if request.client else None)
    limit = RateLimit(scope=("feedback", "from", address), rate=_A_MINUTE)
    wait_seconds = resources.limits.take([limit])
    if wait_seconds is not None:
        seconds = ceil(wait_seconds)
        raise TooManyTries(
            f"That was often: wait {seconds} seconds, then try again.", retry_after_seconds=seconds
        )


def _task_of(resources: WebResources, token: str) -> FinishedTask | None:
    """The task that a token names; None where the token is not ours, or the task is gone."""
    with store_errors(), resources.engine.begin() as connection:
        key = signing_key(connection, KEY_NAME)
        link = read_link(token, key=key, now=datetime.now(UTC))
        return find_finished(connection, link.task_id, tenant=None) if link else None


def _opinion(form: Fields) -> Opinion | None:
    """What the form says; None where nothing was chosen.

    Raises:
        InvalidInput: It says what our form cannot.
    """
    ratings: dict[str, Rating | None] = {"good": "good", "bad": "bad", "": None}
    chosen = form.get("rating")
    if chosen not in ratings:
        raise InvalidInput("Choose one of the two: good or bad.")
    rating, flag = ratings[chosen], form.get("flag") == "yes"
    if rating is None and not flag:
        return None
    return Opinion(rating=rating, comment=form.get("comment").replace("\r\n", "\n"), flag=flag)


def _fault(request: Request, error: FleetError) -> Response:
    problem = describe(error)
    response = _show(request, "fault", status=HTTPStatus(problem.status), fault=problem.detail)
    response.headers.update(retry_headers(error))
    return response


def _show(
    request: Request,
    state: State,
    *,
    day: date | None = None,
    fault: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    response = page(
        request,
        "feedback.html",
        status=status,
        state=state,
        day=day,
        fault=fault,
        most=MAX_COMMENT,
    )
    response.headers.update(_NOT_INDEXED)
    return response
