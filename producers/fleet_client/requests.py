"""The requests of the HTTP API, as values: nothing is sent here."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fleet_client.steps import HttpRequest
from fleet_contracts.feedback import Rating

_SHORTEST_HOLD_SECONDS = 0.1
_JSON = {"Content-Type": "application/json"}


def submit_request(body: dict[str, Any]) -> HttpRequest:
    """Hand in one task; its idempotency key also goes where HTTP looks for it."""
    key = body.get("idempotency_key")
    headers = {"Idempotency-Key": key} if key is not None and _fits_a_header(key) else {}
    return HttpRequest(
        method="POST", path="/v1/tasks", body=json.dumps(body), headers={**_JSON, **headers}
    )


def bulk_request(bodies: Sequence[dict[str, Any]]) -> HttpRequest:
    """Hand in many tasks, each accepted or refused by itself."""
    return HttpRequest(
        method="POST",
        path="/v1/tasks/bulk",
        body=json.dumps({"tasks": list(bodies)}),
        headers=_JSON,
    )


def status_request(task_id: UUID, *, hold_seconds: float = 0.0) -> HttpRequest:
    """Ask for a task; the server may hold its answer up to `hold_seconds` until it is settled."""
    query = f"?wait_seconds={hold_seconds:.1f}" if hold_seconds >= _SHORTEST_HOLD_SECONDS else ""
    return HttpRequest(
        method="GET", path=f"/v1/tasks/{task_id}{query}", hold_seconds=max(0.0, hold_seconds)
    )


def journal_request(task_id: UUID) -> HttpRequest:
    """Ask for the steps of a task so far."""
    return HttpRequest(method="GET", path=f"/v1/tasks/{task_id}/journal")


def cancel_request(task_id: UUID) -> HttpRequest:
    """Ask that a task be given up."""
    return HttpRequest(method="POST", path=f"/v1/tasks/{task_id}/cancel")


def feedback_request(
    task_id: UUID, *, rating: Rating | None, comment: str, flag: bool
) -> HttpRequest:
    """Say how a finished task went."""
    body = json.dumps({"rating": rating, "comment": comment, "flag": flag})
    return HttpRequest(
        method="POST", path=f"/v1/tasks/{task_id}/feedback", body=body, headers=_JSON
    )


def feedback_link_request(task_id: UUID, *, days: int) -> HttpRequest:
    """Ask for an address at which a customer can say how it went."""
    return HttpRequest(method="POST", path=f"/v1/tasks/{task_id}/feedback-link?days={days}")


def _fits_a_header(key: str) -> bool:
    # HTTP headers are ASCII in practice (RFC 9110, section 5.5); any other key is in the body.
    return key.isascii() and key.isprintable() and key == key.strip()
