"""JSON Schemas of all that goes between the fleet and other services, made from the models."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.events import TaskCloudEvent, TaskEvent
from fleet_contracts.outcome import Outcome
from fleet_contracts.reviews import NoticeEvent, ReviewEvent, ReviewMessage

WebhookBody = Annotated[ReviewEvent | NoticeEvent | TaskEvent, Field(discriminator="type")]
"""Body of any webhook."""

PUBLISHED: Final[Mapping[str, Any]] = {
    "task": TaskEnvelope,
    "task-event": TaskCloudEvent,
    "outcome": Outcome,
    "human-review": ReviewMessage,
    "webhook": WebhookBody,
}
"""By the name of its file: a task on the intake, an event, a reply, a review, a webhook."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema(name: str) -> dict[str, Any]:
    """One of the published schemas."""
    return {"$schema": _DIALECT} | TypeAdapter(PUBLISHED[name]).json_schema()
