"""Completes /openapi.json: the task's own schema and the form of every problem."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fleet_contracts.envelope import TaskEnvelope
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
        app.openapi_schema = document
    return app.openapi_schema


def _task_schema() -> dict[str, Any]:
    """The envelope as callers send it: the tenant follows from the key."""
    schema = TaskEnvelope.model_json_schema(ref_template=_REFERENCES)
    schema["required"] = [name for name in schema["required"] if name != "tenant"]
    schema["title"] = "TaskSubmission"
    return schema
