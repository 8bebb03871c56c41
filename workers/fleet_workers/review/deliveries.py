"""What a delivery says when it goes out: a review as it stands now, or a notice as it was written.

The body is made at the time of sending, so that a packet is read once and kept once, and a
receiver that was away for an hour gets what is true now.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fleet_contracts.reviews import Notice, NoticeEvent, ReviewEvent
from fleet_workers.desk_file import WebhookSection
from fleet_workers.review.message import review_message
from fleet_workers.store import reviews
from fleet_workers.store.deliveries import Delivery

NOTICE = "notice"
"""The event of a notice."""
MAIL_CHANNEL = "mail"
"""The channel of the desk's SMTP server."""


def webhook_channel(name: str) -> str:
    """The channel of a webhook of the desk's file."""
    return f"webhook:{name}"


def webhook_body(
    connection: Connection, taken: Delivery, hook: WebhookSection, *, base_url: str | None
) -> str | None:
    """JSON of a delivery for a webhook; None where its review is not known any more."""
    if taken.event == NOTICE:
        notice = Notice.model_validate(taken.body["notice"])
        event = NoticeEvent(type=NOTICE, timestamp=taken.created_at, data=notice)
        return event.model_dump_json()
    item = reviews.get(connection, UUID(str(taken.body["review"])), tenant=None)
    if item is None:
        return None
    message = review_message(item, with_packet=hook.packets, base_url=base_url)
    happened = _moment(taken.body) or taken.created_at
    values = {"type": taken.event, "timestamp": happened, "data": message}
    return ReviewEvent.model_validate(values).model_dump_json()


def _moment(body: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(body.get("at")))
    except ValueError:
        return None
