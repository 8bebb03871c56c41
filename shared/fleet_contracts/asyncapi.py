"""The AsyncAPI document of all messages between the fleet and other services.

Source: AsyncAPI 3.0.0, with its AMQP bindings 0.3.0. Operations are told from the fleet's side.
"""

from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.events import EVENTS_CONTENT_TYPE, TaskCloudEvent, TaskEvent
from fleet_contracts.outcome import Outcome
from fleet_contracts.reviews import NoticeEvent, ReviewEvent, ReviewMessage
from fleet_contracts.topology import (
    AGENTS_EXCHANGE,
    EVENTS_EXCHANGE,
    INTAKE_DEAD_QUEUE,
    INTAKE_QUEUE,
    REVIEW_QUEUE,
)

_MODELS: Final[tuple[Any, ...]] = (
    TaskEnvelope,
    TaskCloudEvent,
    Outcome,
    ReviewMessage,
    ReviewEvent,
    NoticeEvent,
    TaskEvent,
)
_REFERENCES: Final = "#/components/schemas/{model}"
_TEXT: Final = {"type": "string"}
_TRACE: Final = {"traceparent": {**_TEXT, "description": "W3C trace context, where there is one."}}
_SIGNATURE: Final = {
    name: {**_TEXT, "description": f"As in Standard Webhooks: {what}."}
    for name, what in (
        ("webhook-id", "the same over retries"),
        ("webhook-timestamp", "seconds since 1970"),
        ("webhook-signature", "`v1,` and HMAC-SHA-256 in base64"),
    )
}
_PARAMETERS: Final = {
    "agent": "An agent's name, or auto for one that the fleet chooses.",
    "tenant": "The task's tenant.",
    "state": "The state that the task came to.",
    "queue": "A queue of the asker's own: `reply.` and up to 200 letters, digits, dots or dashes.",
    "path": "Of the address that the desk's file names.",
}


def asyncapi_document() -> dict[str, Any]:
    """The document, ready to be written as JSON."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Agent Fleet",
            "version": "1",
            "description": "Messages between an Agent Fleet and other services. The HTTP API is in "
            "/openapi.json of the web process.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {
                "host": "rabbitmq.example:5672",
                "protocol": "amqp",
                "protocolVersion": "0-9-1",
                "description": "What FLEET_BROKER_URL names.",
            },
            "receiver": {
                "host": "desk.example",
                "protocol": "https",
                "description": "Your service, as the desk's file names it.",
            },
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _schemas() -> dict[str, Any]:
    models = [(model, "validation") for model in _MODELS]
    _, document = models_json_schema(models, ref_template=_REFERENCES)  # type: ignore[arg-type] # a list of pairs is invariant
    defined: dict[str, Any] = document["$defs"]
    return defined


def _messages() -> dict[str, Any]:
    celery_body = {
        "type": "array",
        "minItems": 3,
        "maxItems": 3,
        "items": [
            {"type": "array", "items": _schema(TaskEnvelope), "minItems": 1, "maxItems": 1},
            {"type": "object", "maxProperties": 0},
            {"type": "object"},
        ],
    }
    celery_headers = {
        "task": {**_TEXT, "description": "As the routing key."},
        "id": {**_TEXT, "description": "The task's id."},
        "lang": _TEXT,
        **_TRACE,
    }
    reasons = {
        "fleet-reason-code": {**_TEXT, "description": "Stable, for programs."},
        "fleet-reason": {**_TEXT, "description": "Names the field and the remedy."},
    }
    return {
        "Task": _message("A task.", _schema(TaskEnvelope), headers=_TRACE),
        "CeleryTask": _message(
            "A task in Celery's message protocol 2.", celery_body, headers=celery_headers
        ),
        "RefusedTask": _message(
            "A message of the intake that is no task, as it came.", {}, headers=reasons
        ),
        "TaskChanged": _message(
            "A task has come to a state.",
            _schema(TaskCloudEvent),
            headers=_TRACE,
            content_type=EVENTS_CONTENT_TYPE,
        ),
        "Reply": _message("What came of a task.", _schema(Outcome), headers={"task_id": _TEXT}),
        "ReviewWaits": _message("Something that a person must decide.", _schema(ReviewMessage)),
        "ReviewHook": _message("About a review.", _schema(ReviewEvent), headers=_SIGNATURE),
        "NoticeHook": _message("A notice.", _schema(NoticeEvent), headers=_SIGNATURE),
        "TaskHook": _message("About a task.", _schema(TaskEvent), headers=_SIGNATURE),
    }


def _channels() -> dict[str, Any]:
    hooks = ("ReviewHook", "NoticeHook", "TaskHook")
    return {
        "intake": _queue(INTAKE_QUEUE, "Task"),
        "intakeDead": _queue(INTAKE_DEAD_QUEUE, "RefusedTask"),
        "agents": _topic(AGENTS_EXCHANGE, "agent.{agent}", ("agent",), "CeleryTask"),
        "events": _topic(
            EVENTS_EXCHANGE,
            "task.{tenant}.{agent}.{state}",
            ("tenant", "agent", "state"),
            "TaskChanged",
        ),
        "replies": {
            **_channel("{queue}", "Reply", parameters=("queue",)),
            "servers": [{"$ref": "#/servers/rabbitmq"}],
        },
        "reviews": _queue(REVIEW_QUEUE, "ReviewWaits"),
        "webhooks": {
            **_channel("{path}", *hooks, parameters=("path",)),
            "servers": [{"$ref": "#/servers/receiver"}],
        },
    }


def _operations() -> dict[str, Any]:
    said = {
        "takeTask": ("receive", "intake", "Takes in a task as plain JSON."),
        "refuseTask": ("send", "intakeDead", "Puts aside what is no task, with the reason."),
        "takeCeleryTask": ("receive", "agents", "Takes a task from any Celery client."),
        "tellChange": ("send", "events", "Tells each change of a task's state."),
        "reply": ("send", "replies", "Answers where a task names `reply_to`."),
        "announceReview": ("send", "reviews", "Announces what waits for a person."),
        "postWebhook": ("send", "webhooks", "Posts what a webhook of the desk's file asks for."),
    }
    return {
        name: {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
        }
        for name, (action, channel, summary) in said.items()
    }


def _queue(name: str, message: str) -> dict[str, Any]:
    binding = {"is": "queue", "queue": {"name": name, "durable": True, "exclusive": False}}
    return _bound(_channel(name, message), binding)


def _topic(
    exchange: str, address: str, parameters: tuple[str, ...], message: str
) -> dict[str, Any]:
    binding = {
        "is": "routingKey",
        "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False},
    }
    return _bound(_channel(address, message, parameters=parameters), binding)


def _bound(channel: dict[str, Any], binding: dict[str, Any]) -> dict[str, Any]:
    return {
        **channel,
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "bindings": {"amqp": {**binding, "bindingVersion": "0.3.0"}},
    }


def _channel(address: str, *messages: str, parameters: tuple[str, ...] = ()) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    if parameters:
        channel["parameters"] = {name: {"description": _PARAMETERS[name]} for name in parameters}
    return channel


def _message(
    summary: str,
    payload: dict[str, Any],
    *,
    headers: dict[str, Any] | None = None,
    content_type: str = "application/json",
) -> dict[str, Any]:
    message: dict[str, Any] = {"summary": summary, "contentType": content_type, "payload": payload}
    if headers:
        message["headers"] = {"type": "object", "properties": headers}
    return message


def _schema(model: Any) -> dict[str, Any]:
    name = TypeAdapter(model).json_schema()["title"]
    return {"$ref": _REFERENCES.format(model=name)}
