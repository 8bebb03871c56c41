"""What other systems are told of reviews has the form that is published."""

from typing import Any

import jsonschema
import pytest

from fleet_contracts.reviews import ReviewMessage
from fleet_contracts.schemas import json_schema
from fleet_workers.web.application import create_app
from fleet_workers.web.openapi import describe_api

MESSAGE = {
    "schema_version": 1,
    "id": "0199d0f0-0000-7000-8000-000000000001",
    "task_id": "0199d0f0-0000-7000-8000-000000000002",
    "tenant": "acme",
    "agent": "billing",
    "kind": "approval",
    "state": "waiting",
    "created_at": "2026-03-29T00:30:00Z",
    "reason": "It needs approval.",
    "links": dict.fromkeys(("review", "decide", "task", "journal", "console"), "/x"),
}


def test_a_message_of_today_and_one_of_tomorrow_can_be_read() -> None:
    schema = json_schema("human-review")
    for message in (MESSAGE, {**MESSAGE, "kind": "one_of_tomorrow", "mood": "good"}):
        jsonschema.validate(message, schema)
        assert ReviewMessage.model_validate(message).kind == message["kind"]


@pytest.mark.parametrize("wrong", [{"schema_version": 2}, {"id": "7"}, {"priority": 9}])
def test_what_is_no_message_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {**MESSAGE, **wrong},
            json_schema("human-review"),
            format_checker=jsonschema.FormatChecker(),
        )


def test_the_api_description_names_the_webhooks_and_their_bodies() -> None:
    document = describe_api(create_app(None))  # type: ignore[arg-type] # describing needs no store
    assert {"review.opened", "review.decided", "notice", "task.succeeded", "task.dead"} <= set(
        document["webhooks"]
    )
    schemas = document["components"]["schemas"]
    for hook in document["webhooks"].values():
        body = hook["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["$ref"].removeprefix("#/components/schemas/") in schemas
    assert {"ReviewMessage", "ReviewDecision", "Notice"} <= set(schemas)
