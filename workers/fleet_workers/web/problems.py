"""Turns errors into problem details (RFC 9457). What an unknown error says stays in the log."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from fleet_contracts.errors import (
    AlreadyClaimed,
    AlreadyDecided,
    Conflict,
    FleetError,
    InvalidEnvelope,
    InvalidInput,
    TransientError,
    Unauthorized,
    UnknownAgent,
    UnknownReview,
    UnknownTask,
    UnknownTenant,
)
from fleet_workers.agents.grants import UnknownTool
from fleet_workers.deadletters.errors import AlreadySettled, NotDead, Overdue, UnknownDeadLetter
from fleet_workers.review.feedback import NotFinished
from fleet_workers.store.accounts import UnknownKey
from fleet_workers.store.erasure_requests import OpenTasks, UnknownErasure
from fleet_workers.store.people import AddressTaken, UnknownPerson
from fleet_workers.store.schedule_models import ScheduleTaken, UnknownSchedule
from fleet_workers.web.errors import (
    BeingTaken,
    BodyTooLarge,
    DryRunNotSetUp,
    Forbidden,
    MalformedBody,
    NotOpen,
    TooManyTries,
    UnknownReplay,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 2  # the outbox's first sweep; a restarted server is usually back by then
_AWAY = "A server of the fleet is away at the moment. Send the same request again later."
_UNEXPECTED = "Something unexpected went wrong here. It was logged; nothing is known to be done."

_log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """What went wrong. `code` is stable and meant for programs, `detail` for people."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(examples=["urn:agent-fleet:problem:conflict"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["conflict"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    status: HTTPStatus
    title: str


_FORMS: Mapping[type[FleetError], _Form] = {
    MalformedBody: _Form(status=HTTPStatus.BAD_REQUEST, title="The body is not JSON"),
    Unauthorized: _Form(status=HTTPStatus.UNAUTHORIZED, title="A key is needed"),
    Forbidden: _Form(status=HTTPStatus.FORBIDDEN, title="The key does not allow this"),
    UnknownTask: _Form(status=HTTPStatus.NOT_FOUND, title="No such task"),
    UnknownReview: _Form(status=HTTPStatus.NOT_FOUND, title="No such review"),
    UnknownDeadLetter: _Form(status=HTTPStatus.NOT_FOUND, title="No such dead letter"),
    UnknownTool: _Form(status=HTTPStatus.NOT_FOUND, title="No such tool"),
    UnknownReplay: _Form(status=HTTPStatus.NOT_FOUND, title="No such replay"),
    UnknownSchedule: _Form(status=HTTPStatus.NOT_FOUND, title="No such schedule"),
    ScheduleTaken: _Form(status=HTTPStatus.CONFLICT, title="The name is taken"),
    AlreadySettled: _Form(status=HTTPStatus.CONFLICT, title="Settled before"),
    UnknownErasure: _Form(status=HTTPStatus.NOT_FOUND, title="No such erasure"),
    OpenTasks: _Form(status=HTTPStatus.CONFLICT, title="Tasks are open"),
    NotDead: _Form(status=HTTPStatus.CONFLICT, title="The task is not dead"),
    Overdue: _Form(status=HTTPStatus.CONFLICT, title="The deadline has passed"),
    DryRunNotSetUp: _Form(status=HTTPStatus.NOT_IMPLEMENTED, title="No dry runs here"),
    UnknownKey: _Form(status=HTTPStatus.NOT_FOUND, title="No such key"),
    UnknownPerson: _Form(status=HTTPStatus.NOT_FOUND, title="No such person"),
    AddressTaken: _Form(status=HTTPStatus.CONFLICT, title="The address is taken"),
    TooManyTries: _Form(status=HTTPStatus.TOO_MANY_REQUESTS, title="Too many tries"),
    BeingTaken: _Form(status=HTTPStatus.CONFLICT, title="The same task is being taken"),
    NotFinished: _Form(status=HTTPStatus.CONFLICT, title="The task has not ended"),
    NotOpen: _Form(status=HTTPStatus.CONFLICT, title="The task has ended"),
    BodyTooLarge: _Form(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, title="Too large"),
    AlreadyDecided: _Form(status=HTTPStatus.CONFLICT, title="The review is decided"),
    AlreadyClaimed: _Form(status=HTTPStatus.CONFLICT, title="Somebody works on it"),
    Conflict: _Form(status=HTTPStatus.UNPROCESSABLE_ENTITY, title="Used before for something else"),
    UnknownAgent: _Form(status=HTTPStatus.UNPROCESSABLE_ENTITY, title="No such agent"),
    UnknownTenant: _Form(status=HTTPStatus.UNPROCESSABLE_ENTITY, title="No such tenant"),
    InvalidEnvelope: _Form(status=HTTPStatus.UNPROCESSABLE_ENTITY, title="Not a task"),
    InvalidInput: _Form(status=HTTPStatus.UNPROCESSABLE_ENTITY, title="Not accepted"),
    TransientError: _Form(status=HTTPStatus.SERVICE_UNAVAILABLE, title="Try again later"),
}


def describe(error: FleetError) -> Problem:
    """Give an error as a problem. Errors that are no caller's business give a 500 without text."""
    form = next((_FORMS[kind] for kind in type(error).__mro__ if kind in _FORMS), None)
    if form is None:
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error", _UNEXPECTED)
    detail = _AWAY if form.status is HTTPStatus.SERVICE_UNAVAILABLE else str(error)
    return _problem(form.status, error.code, form.title, detail)


def answer(problem: Problem, *, headers: Mapping[str, str] | None = None) -> Response:
    """Write a problem as a response. ASCII only: a detail may quote text that is no Unicode."""
    return Response(
        json.dumps(problem.model_dump()),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def answer_fleet_error(_: Request, error: Exception) -> Response:
    """Answer one of the fleet's own errors."""
    if not isinstance(error, FleetError):
        raise error
    problem = describe(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("web.request_failed", code=error.code, error=str(error))
    return answer(problem, headers=_headers(problem, error))


def retry_headers(error: FleetError) -> dict[str, str]:
    """When the same may be sent again, for errors that pass by themselves."""
    if not isinstance(error, TransientError):
        return {}
    seconds = error.retry_after_seconds or _RETRY_AFTER_SECONDS
    return {"Retry-After": str(max(1, round(seconds)))}


def answer_invalid_request(_: Request, error: Exception) -> Response:
    """Answer a path or query that does not fit its declaration."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = "; ".join(
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors()
    )
    return answer(
        _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", "Not accepted", f"{faults}.")
    )


def answer_http_error(_: Request, error: Exception) -> Response:
    """Answer what the framework refuses, such as an unknown path or method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    problem = _problem(status, code, status.phrase, f"{error.detail}. The API is in /openapi.json.")
    return answer(problem, headers=error.headers)


def answer_unknown_error(request: Request, error: Exception) -> Response:
    """Answer a fault of ours. The text stays inside; the server logs the traceback."""
    _log.error("web.request_broke", path=request.url.path, error=type(error).__name__)
    return answer(
        _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error", _UNEXPECTED)
    )


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint: its problems, and those that every endpoint can have."""
    always = (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        int(status): {"description": status.phrase, "content": {PROBLEM_MEDIA_TYPE: schema}}
        for status in sorted({*always, *statuses})
    }


def _headers(problem: Problem, error: FleetError) -> dict[str, str]:
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="agent-fleet"'}
    return retry_headers(error)


def _problem(status: HTTPStatus, code: str, title: str, detail: str) -> Problem:
    return Problem(
        type=f"urn:agent-fleet:problem:{code}",
        title=title,
        status=int(status),
        detail=detail,
        code=code,
    )
