"""A schedule and the tasks that it stands for, without any I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from fleet_contracts.envelope import AUTO_AGENT, TaskEnvelope, parse_envelope
from fleet_contracts.errors import Conflict, InvalidInput
from fleet_workers.store import cron

LONGEST_NAME = 200
NAME_NOTE, TIME_NOTE = "schedule", "scheduled_for"
"""What a task's metadata says of where it comes from: the schedule's name, the time in UTC."""

_NOT_IN_A_TEMPLATE = ("id", "tenant", "idempotency_key", "not_before", "deadline")


class UnknownSchedule(InvalidInput):
    """No schedule of that name or id exists in the caller's tenant."""

    code = "unknown_schedule"


class ScheduleTaken(Conflict):
    """Another schedule of the tenant has the name."""

    code = "schedule_taken"


class Missed(StrEnum):
    """What becomes of times at which no janitor was there."""

    ONCE = "once"
    """One task for the last of them."""
    SKIP = "skip"
    """None, where they are over a minute old."""
    ALL = "all"
    """One task each, for the last hundred."""


class Schedule(BaseModel):
    """A schedule. `task` holds the fields of the tasks' envelopes.

    `next_at` is None where it is disabled. `last_at` and `last_task` are of the last time that came
    to a task, `last_error` says why the last time came to none.
    """

    model_config = ConfigDict(frozen=True)

    id: UUID
    tenant: str
    name: str
    cron: str
    zone: str
    missed: Missed
    task: dict[str, Any]
    enabled: bool
    next_at: datetime | None
    last_at: datetime | None
    last_task: UUID | None
    last_error: str | None
    created_by: str
    created_at: datetime

    @property
    def agent(self) -> str:
        """Whose tasks they are."""
        return str(self.task.get("agent", AUTO_AGENT))

    def envelope_at(self, time: datetime, *, key: str | None = None) -> TaskEnvelope:
        """The task of one time.

        Raises:
            InvalidEnvelope: The template is wrong, or has too much metadata for the two notes.
        """
        return envelope_of(
            self.task,
            tenant=self.tenant,
            name=self.name,
            time=time,
            key=(key or f"schedule/{self.id}/{time.astimezone(UTC).isoformat()}"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule to make. `task` holds fields of an envelope."""

    tenant: str
    name: str
    cron: str
    task: Mapping[str, Any]
    zone: str = "UTC"
    missed: Missed = Missed.ONCE
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of a schedule; what is None stays."""

    cron: str | None = None
    zone: str | None = None
    task: Mapping[str, Any] | None = None
    missed: Missed | None = None
    enabled: bool | None = None


def envelope_of(
    template: Mapping[str, Any], *, tenant: str, name: str, time: datetime, key: str
) -> TaskEnvelope:
    """The envelope that a template stands for.

    Raises:
        InvalidInput: The template has a field that differs from time to time.
        InvalidEnvelope: A field is wrong.
    """
    for each in _NOT_IN_A_TEMPLATE:
        if template.get(each) is not None:
            raise InvalidInput(
                f"The task of a schedule has no {each}, which differs from time to time: leave it "
                "out."
            )
    notes = {NAME_NOTE: name, TIME_NOTE: time.astimezone(UTC).isoformat()}
    said = template.get("metadata") or {}
    return parse_envelope(
        {
            **template,
            "tenant": tenant,
            "idempotency_key": key,
            "metadata": {**said, **notes} if isinstance(said, Mapping) else said,
        }
    )


def checked_template(new: NewSchedule) -> dict[str, Any]:
    """The task of a schedule that can come to tasks, in JSON's types.

    Whether its agent is installed is not looked at.

    Raises:
        InvalidInput: The name, cron text, zone or task is wrong; the text names the remedy.
    """
    if not new.name.strip() or len(new.name) > LONGEST_NAME or not new.name.isprintable():
        raise InvalidInput(f"Give the schedule a name of 1 to {LONGEST_NAME} plain characters.")
    cron.check_cron(new.cron, new.zone)
    envelope = envelope_of(
        new.task, tenant=new.tenant, name=new.name, time=datetime.now(UTC), key="trial"
    )
    said = {name: value for name, value in envelope.to_dict().items() if name in new.task}
    if "metadata" in said:
        said["metadata"] = {
            name: value
            for name, value in said["metadata"].items()
            if name not in (NAME_NOTE, TIME_NOTE)
        }
    return said
