"""What the answers of the HTTP API mean: values, or errors of the fleet's error tree."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from fleet_client.steps import HttpAnswer
from fleet_contracts import errors
from fleet_contracts.feedback import Feedback
from fleet_contracts.outcome import TaskView

_BY_CODE: dict[str, type[errors.FleetError]] = {
    error.code: error
    for error in (
        errors.InvalidInput,
        errors.InvalidEnvelope,
        errors.UnknownAgent,
        errors.UnknownTenant,
        errors.UnknownTask,
        errors.Conflict,
        errors.Unauthorized,
        errors.ConfigurationError,
        errors.TransientError,
        errors.Unavailable,
        errors.TimedOut,
        errors.PermanentError,
        errors.PolicyError,
        errors.BudgetError,
    )
}

# Errors that only the HTTP side has, and whose status alone would say the wrong thing.
_BY_CODE["being_taken"] = errors.Unavailable

_BY_STATUS: dict[int, type[errors.FleetError]] = {
    400: errors.InvalidInput,
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.UnknownTask,
    408: errors.TimedOut,
    409: errors.Conflict,
    413: errors.InvalidEnvelope,
    422: errors.InvalidInput,
    429: errors.Unavailable,
}

_NO_SUCH_PATH = {"not_found", "method_not_allowed"}  # a server's, not a missing task's
_SHOWN_CHARACTERS = 120


def read_accepted(answer: HttpAnswer) -> UUID:
    """Read the id under which a task was accepted, from the body or else from `Location`."""
    body = _read_json(answer)
    given = body.get("id") if isinstance(body, dict) else None
    place = given or answer.headers.get("location", "").partition("?")[0].rsplit("/", 1)[-1]
    try:
        return UUID(str(place))
    except ValueError as error:
        raise _garbage(answer, "names no task id") from error


def read_bulk(answer: HttpAnswer, *, expected: int) -> list[UUID | errors.FleetError]:
    """Read the results of a bulk request, in the order of its tasks."""
    body = _read_json(answer)
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list) or len(results) != expected:
        raise _garbage(answer, f"holds no {expected} results")
    return [_read_bulk_result(result, answer) for result in results]


def read_task(answer: HttpAnswer) -> TaskView:
    """Read a task's state and outcome."""
    body = _read_json(answer)
    try:
        return TaskView.model_validate(body)
    except ValidationError as error:
        raise _garbage(answer, "is no task") from error


def read_journal(answer: HttpAnswer) -> list[dict[str, Any]]:
    """Read the steps of a task: `{"steps": […]}`, each an object, the oldest first."""
    body = _read_json(answer)
    steps = body.get("steps") if isinstance(body, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise _garbage(answer, "holds no steps")
    return steps


def check_accepted(answer: HttpAnswer) -> None:
    """Raise the error that an answer stands for, unless it says that all went well."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - the success range of HTTP
        raise _read_error(answer)


def _read_json(answer: HttpAnswer) -> Any:
    check_accepted(answer)
    try:
        return json.loads(answer.body or b"null")
    except (ValueError, RecursionError) as error:
        raise _garbage(answer, "is no JSON") from error


def _read_bulk_result(result: Any, answer: HttpAnswer) -> UUID | errors.FleetError:
    if not isinstance(result, dict):
        raise _garbage(answer, "holds a result that is no object")
    fault = result.get("error")
    if isinstance(fault, Mapping):
        return _from_problem(fault, status=_as_status(result.get("status")))
    if fault is not None:
        return _from_problem({"detail": fault}, status=_as_status(result.get("status")))
    try:
        return UUID(str(result.get("id")))
    except ValueError:
        return errors.PermanentError("The server named no id for this task: submit it again.")


def read_feedback(answer: HttpAnswer) -> Feedback:
    """Read what was kept of a word about a task."""
    try:
        return Feedback.model_validate(_read_json(answer))
    except ValidationError as error:
        raise _garbage(answer, "is no feedback") from error


def read_link(answer: HttpAnswer) -> str:
    """Read the address at which a customer can judge a task."""
    body = _read_json(answer)
    address = body.get("url") if isinstance(body, dict) else None
    if not isinstance(address, str):
        raise _garbage(answer, "names no address")
    return address


def _read_error(answer: HttpAnswer) -> errors.FleetError:
    problem = _problem_of(answer)
    wait = _retry_after_seconds(answer.headers.get("retry-after"))
    if problem is not None and problem.get("code") in _NO_SUCH_PATH:
        return _garbage(answer, "says that there is no such path")
    if problem is not None:
        return _from_problem(problem, status=answer.status, retry_after_seconds=wait)
    if answer.status in {401, 403}:
        return errors.Unauthorized(
            f"The fleet answered {answer.status}: set FLEET_API_KEY to a key that allows this."
        )
    if answer.status == 429 or answer.status >= 500:  # noqa: PLR2004 - "busy" and server errors
        return errors.Unavailable(
            f"The fleet answered {answer.status}: it is overloaded or restarting, try again later.",
            retry_after_seconds=wait,
        )
    if 300 <= answer.status < 400:  # noqa: PLR2004 - the redirects of HTTP
        target = answer.headers.get("location", "elsewhere")
        return errors.ConfigurationError(
            f"The API's address redirects to {target}: set FLEET_API_URL to the final address."
        )
    return _garbage(answer, "does not come from a fleet's API")


def _problem_of(answer: HttpAnswer) -> Mapping[str, Any] | None:
    """Give the body as a problem (RFC 9457), or None where it is something else."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    known = isinstance(body, dict) and ("code" in body or "title" in body)
    return body if known else None


def _from_problem(
    problem: Mapping[str, Any], *, status: int, retry_after_seconds: float | None = None
) -> errors.FleetError:
    text = problem.get("detail") or problem.get("title") or f"The fleet answered {status}."
    by_status = _BY_STATUS.get(status)
    if by_status is None:
        by_status = errors.Unavailable if status >= 500 else errors.PermanentError  # noqa: PLR2004
    kind = _BY_CODE.get(str(problem.get("code")), by_status)
    if issubclass(kind, errors.TransientError):
        return kind(str(text), retry_after_seconds=retry_after_seconds)
    return kind(str(text))


def _as_status(value: Any) -> int:
    """Take a bulk result's status where it is a number; a refused task's is 422 otherwise."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 422


def _retry_after_seconds(value: str | None) -> float | None:
    """Read `Retry-After`, seconds or a date (RFC 9110, section 10.2.3); None if unreadable."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(tz=UTC)).total_seconds())


def _garbage(answer: HttpAnswer, fault: str) -> errors.PermanentError:
    text = answer.body[: 4 * _SHOWN_CHARACTERS].decode(errors="replace").strip()
    shown = "".join(char if char.isprintable() else " " for char in text)[:_SHOWN_CHARACTERS]
    return errors.PermanentError(
        f"The answer {fault} (HTTP {answer.status}, {shown!r}): is api_url the address of a fleet, "
        "and of the same version as this client?"
    )
