"""The options that choose dead letters, the same for every command that takes them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from pydantic import ValidationError

from fleet_contracts.errors import InvalidInput
from fleet_contracts.faults import explain_faults
from fleet_workers.store.dead_letters import DeadLetterFilter

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Agent = Annotated[str | None, typer.Option(help="Only of this agent.")]
Tenant = Annotated[str | None, typer.Option(help="Only of this tenant.")]
Reason = Annotated[str | None, typer.Option(help="Only with this reason.")]
Cause = Annotated[str | None, typer.Option(help="Only with this cause, as `dead causes` has it.")]
Error = Annotated[str | None, typer.Option(help="Only where the error says this.")]
Since = Annotated[str | None, typer.Option(help="From this time on: ISO 8601, or 90m, 6h, 2d ago.")]
Until = Annotated[str | None, typer.Option(help="Before this time, in the same form.")]
Task = Annotated[str | None, typer.Option(help="Only of the task with this id.")]
Limit = Annotated[int, typer.Option(help="Rows at most.", min=1, max=1000)]


def chosen(
    *,
    agent: str | None,
    tenant: str | None,
    reason: str | None,
    cause: str | None,
    error: str | None,
    since: str | None,
    until: str | None,
    task: str | None = None,
) -> DeadLetterFilter:
    """The filter that the options make.

    Raises:
        InvalidInput: A time or an id cannot be read.
    """
    try:
        return DeadLetterFilter.model_validate(
            {
                "agent": agent,
                "tenant": tenant,
                "reason": reason,
                "cause": cause,
                "error": error,
                "since": moment(since),
                "until": moment(until),
                "task_id": task,
            }
        )
    except ValidationError as fault:
        raise InvalidInput(f"The options do not fit: {explain_faults(fault)}.") from fault


def moment(text: str | None) -> datetime | None:
    """A time; without a zone it is UTC.

    Raises:
        InvalidInput: The text is no time.
    """
    if text is None:
        return None
    if (ago := _AGO.fullmatch(text)) is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError as fault:
        raise InvalidInput(
            f"{text!r} is no time: write 2026-01-31T08:00, or 90m, 6h, 2d for so long ago."
        ) from fault
    return at if at.tzinfo else at.replace(tzinfo=UTC)
