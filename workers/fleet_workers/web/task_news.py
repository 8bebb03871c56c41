"""What is new about one task: changes of its state and steps, in the order in which they came."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from sqlalchemy import Connection

from fleet_contracts.errors import InvalidInput
from fleet_contracts.events import TaskChange
from fleet_contracts.outcome import TaskView
from fleet_contracts.states import SETTLED_STATES
from fleet_workers.store.journal_rows import StepState
from fleet_workers.store.step_news import StepNews, step_news
from fleet_workers.store.task_events import changes_of
from fleet_workers.web.streams import News, Piece

PLACE_PATTERN = r"^[0-9]{1,18}:[0-9]{1,9}(:[0-9]{1,9}(,[0-9]{1,9}){0,9})?$"
_MOST_BEGUN = 10  # a run has one or two steps under way
_STEPS_A_LOOK = 500


@dataclass(slots=True)
class Place:
    """How far somebody has been told of a task; written `CHANGE:STEPS:BEGUN,BEGUN`.

    `steps` is how many steps have been told, `begun` those of them that were not done by then.
    """

    change: int = 0
    steps: int = 0
    begun: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, written: str | None) -> Self:
        """Read a place as an event's id gives it; None is the beginning.

        Raises:
            InvalidInput: It is none.
        """
        if written is None:
            return cls()
        change, _, rest = written.partition(":")
        steps, _, begun = rest.partition(":")
        try:
            numbers = {int(each) for each in begun.split(",")} if begun else set()
            return cls(change=int(change), steps=int(steps), begun=numbers)
        except ValueError as error:
            raise InvalidInput(
                "Last-Event-ID is no id of this stream: send the last one that came, or none."
            ) from error

    def __str__(self) -> str:
        begun = ",".join(map(str, sorted(self.begun)[-_MOST_BEGUN:]))
        return f"{self.change}:{self.steps}" + (f":{begun}" if begun else "")

    def note(self, told: TaskChange | StepNews) -> None:
        """Move on behind what was told."""
        if isinstance(told, TaskChange):
            self.change = max(self.change, told.seq)
            return
        self.steps = max(self.steps, told.seq + 1)
        if told.state == StepState.DONE:
            self.begun.discard(told.seq)
        else:
            self.begun.add(told.seq)


def look_at(connection: Connection, view: TaskView, place: Place, *, is_first: bool) -> News:
    """What is new about a task since `place`, which moves on with it.

    `view` is the task as it stood when its follower came. It serves, where `is_first`, for a task
    whose changes are not kept: it was there before they were noted.
    """
    changes = changes_of(connection, view.id, after=place.change)
    steps = _steps(connection, view, place, limit=_STEPS_A_LOOK)
    if is_first and not changes and place.change == 0:
        changes = [_standing(view)]
    if len(steps) == _STEPS_A_LOOK and changes and changes[-1].state in SETTLED_STATES:
        changes.pop()  # its steps first
    last_state = changes[-1].state if changes else view.state
    is_last = last_state in SETTLED_STATES and len(steps) < _STEPS_A_LOOK
    return News(pieces=[_piece(each, place) for each in _merged(changes, steps)], is_last=is_last)


def is_all_told(connection: Connection, view: TaskView, place: Place) -> bool:
    """Tell whether a task has ended and nothing of it is left to tell to who was at `place`."""
    if view.state not in SETTLED_STATES:
        return False
    return not changes_of(connection, view.id, after=place.change, limit=1) and not _steps(
        connection, view, place, limit=1
    )


def _steps(connection: Connection, view: TaskView, place: Place, *, limit: int) -> list[StepNews]:
    return step_news(
        connection,
        view.id,
        after=place.steps - 1,
        begun=place.begun,
        is_over=view.state in SETTLED_STATES,
        limit=limit,
    )


def _standing(view: TaskView) -> TaskChange:
    return TaskChange(
        task_id=view.id,
        seq=0,
        tenant=view.tenant,
        agent=view.agent,
        state=view.state,
        at=view.finished_at or view.started_at or view.created_at,
        attempts=view.attempts,
    )


def _piece(told: TaskChange | StepNews, place: Place) -> Piece:
    place.note(told)
    name = "state" if isinstance(told, TaskChange) else "step"
    return Piece(id=str(place), name=name, data=told)


def _merged(
    changes: Sequence[TaskChange], steps: Sequence[StepNews]
) -> list[TaskChange | StepNews]:
    """Both by time; each keeps its own order, by which places are told, and the end comes last."""
    left, right = list(changes), list(steps)
    found: list[TaskChange | StepNews] = []
    while left and right:
        is_end = len(left) == 1 and left[0].state in SETTLED_STATES
        if not is_end and left[0].at <= _at(right[0]):
            found.append(left.pop(0))
        else:
            found.append(right.pop(0))
    return [*found, *left, *right]


def _at(step: StepNews) -> datetime:
    return step.finished_at or step.started_at
