"""The inbox: what needs a person now, who works on it, and what has come since it was read."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import AlreadyClaimed, AlreadyDecided, UnknownReview
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.reviews import ReviewPriority
from fleet_workers.store import review_queue
from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.review_news import news
from fleet_workers.store.review_queue import Place, QueueFilter, QueueRow
from fleet_workers.web.console.flashes import Flash, see_other
from fleet_workers.web.console.forms import SessionForm
from fleet_workers.web.console.inbox_filter import (
    INBOX,
    address,
    filter_of,
    filter_values,
    groups_of,
    place_from,
    place_words,
)
from fleet_workers.web.console.rendering import page
from fleet_workers.web.console.sessions import Visitor
from fleet_workers.web.console.visitors import DeskWorker
from fleet_workers.web.resources import Resources, WebResources
from fleet_workers.web.reviewing import claim_review

_ROWS = 50
_COUNTED = 1000
CLAIMED = "This item is yours until you decide it or give it back."
_TRIES = 5  # rows that others take in the same moment

router = APIRouter(prefix=INBOX)


@router.get("")
def show_inbox(
    request: Request,
    resources: Resources,
    holder: Visitor,
    after: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """What waits, the most urgent and then the first due on top."""
    values = filter_values(request.query_params, holder)
    wanted, place = filter_of(values, holder), place_from(after)
    with resources.transaction() as connection:
        rows = review_queue.page(connection, wanted, after=place, limit=_ROWS + 1)
        number = review_queue.count(connection, wanted, most=_COUNTED)
    shown, more = rows[:_ROWS], len(rows) > _ROWS
    following = {**values, "after": place_words(shown[-1].place)} if more else None
    return page(
        request,
        "reviews.html",
        holder=holder,
        rows=shown,
        number=number,
        is_counted=number < _COUNTED,
        values=values,
        is_filtered=any(values.values()),
        is_first=place is None,
        first_page=address(INBOX, values),
        next_page=address(INBOX, following) if following else None,
        query=address("", values),
        kinds=list(ReviewKind),
        priorities=list(ReviewPriority),
        agents=[*resources.catalogue.names, AUTO_AGENT],
        groups=groups_of(resources.catalogue) if holder.groups is None else holder.groups,
        news_address=address(f"{INBOX}/news", values),
    )


@router.get("/news")
def read_news(
    request: Request,
    resources: Resources,
    holder: Visitor,
    since: Annotated[datetime, Query()],
    shown: Annotated[list[UUID] | None, Query(max_length=_ROWS)] = None,
) -> Response:
    """What has changed since a list was read: for the script of the page, which asks often."""
    wanted = filter_of(filter_values(request.query_params, holder), holder)
    moment = since if since.tzinfo is not None else since.replace(tzinfo=UTC)
    with resources.transaction() as connection:
        found = news(connection, wanted, since=moment, shown=shown or ())
    return JSONResponse(
        {
            "new": found.new,
            "gone": sorted(map(str, found.gone)),
            "held": {
                str(review_id): "you" if by == holder.label else by
                for review_id, by in found.held_by.items()
            },
        }
    )


@router.post("/next")
def take_next(
    request: Request, resources: Resources, holder: DeskWorker, form: SessionForm
) -> Response:
    """Claim the first item that nobody works on, and open it."""
    values = filter_values({name: form.get(name) for name in form.values}, holder)
    wanted = filter_of({**values, "free": "1"}, holder)
    taken = take_first(resources, holder, wanted)
    if taken is None:
        flash = Flash(text="Nothing waits here that nobody works on.", tone="wait")
        return see_other(request, address(INBOX, values), flash)
    return see_other(request, address(f"{INBOX}/{taken}", values), Flash(text=CLAIMED))


def take_first(resources: WebResources, holder: KeyHolder, wanted: QueueFilter) -> UUID | None:
    """Claim the first item of a list for somebody; None where there is none to be had."""
    with resources.transaction() as connection:
        rows = review_queue.page(connection, wanted, limit=_TRIES)
    for row in rows:
        with suppress(AlreadyClaimed, AlreadyDecided, UnknownReview):
            return claim_review(resources, holder, row.id).id
    return None


def find_next(
    resources: WebResources, holder: KeyHolder, wanted: QueueFilter, *, after: Place | None
) -> QueueRow | None:
    """The item behind a place, or the first of the list behind the last one; None for none.

    What others work on is passed over.
    """
    free = replace(wanted, unclaimed=True)  # where others work on all that comes first
    with resources.transaction() as connection:
        for place in dict.fromkeys((after, None)):
            for asked in (wanted, free):
                for row in review_queue.page(connection, asked, after=place, limit=_ROWS):
                    if row.claimed_by in {None, holder.label} and row.place != after:
                        return row
    return None
