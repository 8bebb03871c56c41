"""Completes /openapi.json: the task's own schema, every problem's form, and the webhooks."""

from typing import Any, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.events import TaskEvent, TaskEventType
from fleet_contracts.reviews import NoticeEvent, ReviewEvent
from fleet_workers.store.step_news import StepNews
from fleet_workers.web.problems import Problem

TASK_SCHEMA = {"$ref": "#/components/schemas/TaskSubmission"}
_REFERENCES = "#/components/schemas/{model}"


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema(ref_template=_REFERENCES)
        task = _task_schema()
        schemas.update(task.pop("$defs", {}))
        schemas["TaskSubmission"] = task
        schemas.update(_event_schemas())
        document["webhooks"] = {
            "review.opened": _webhook("A review waits for a person.", "ReviewEvent"),
            "review.decided": _webhook("A review waits no more.", "ReviewEvent"),
            "notice": _webhook("Reviews wait, or an agent is in trouble.", "NoticeEvent"),
            **{
                event: _webhook(f"A task is {event.removeprefix('task.')}.", "TaskEvent")
                for event in get_args(TaskEventType)
            },
        }
        app.openapi_schema = document
    return app.openapi_schema


def _task_schema() -> dict[str, Any]:
    """The envelope as callers send it: the tenant follows from the key."""
    schema = TaskEnvelope.model_json_schema(ref_template=_REFERENCES)
    schema["required"] = [name for name in schema["required"] if name != "tenant"]
    schema["title"] = "TaskSubmission"
    return schema


def _event_schemas() -> dict[str, Any]:
    models = [(each, "validation") for each in (ReviewEvent, NoticeEvent, TaskEvent, StepNews)]
    _, document = models_json_schema(models, ref_template=_REFERENCES)  # type: ignore[arg-type] # a list of pairs is invariant
    defined: dict[str, Any] = document["$defs"]
    return defined


def _webhook(summary: str, model: str) -> dict[str, Any]:
    schema = {"$ref": _REFERENCES.format(model=model)}
    return {
        "post": {
            "summary": summary,
            "description": "Signed; see docs/howto/help-desk-webhook.md.",
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": {"2XX": {"description": "Taken; it is not sent again."}},
        }
    }
