"""Where a worker can be made to die: the real functions of the fleet, wrapped in the worker itself.

A task's text names its points. A mark on the disk, made before the signal, lets each happen once.
"""

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2

from chaos.scenarios import read_tags, turn_of
from fleet_workers.controller.execution import Executor
from fleet_workers.controller.settlement import Settlement
from fleet_workers.models.gateway import Gateway
from fleet_workers.store.journal import StepKind, StoredJournal
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.tools import Tool
from fleet_workers.tools.runtime import ToolRuntime

Arguments = tuple[Any, ...]
_UNDER_WAY_SECONDS = 0.02  # the scripted model takes 0.05 s for a reply


def _always(_arguments: Arguments) -> bool:
    return True


def _is_write(arguments: Arguments) -> bool:
    called: Tool = arguments[1]
    return called.effect == "write"


def _is_post(arguments: Arguments) -> bool:
    request: httpx2.Request = arguments[1]
    return request.method == "POST" and not request.url.path.endswith("/chat/completions")


def _is_plan(arguments: Arguments) -> bool:
    journal, number = arguments[:2]
    return bool(journal.steps()[number].kind is StepKind.PLAN)


def _is_written_step(arguments: Arguments) -> bool:
    journal, number = arguments[:2]
    step = journal.steps()[number]
    return step.kind is StepKind.TOOL and step.request.get("effect") == "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A moment at a function of `owner`; `applies` looks at the call's positional arguments."""

    owner: type
    function: str
    moment: Literal["before", "during", "after"]
    applies: Callable[[Arguments], bool] = _always


POINTS: Mapping[str, Point] = {
    "before_claim": Point(owner=Executor, function="deliver", moment="before"),
    "after_claim": Point(owner=LeaseKeeper, function="hold", moment="after"),
    "during_model_call": Point(owner=Gateway, function="complete", moment="during"),
    "after_plan": Point(owner=StoredJournal, function="finish", moment="after", applies=_is_plan),
    "before_effect": Point(owner=ToolRuntime, function="call", moment="before", applies=_is_write),
    "during_effect": Point(owner=httpx2.Client, function="send", moment="after", applies=_is_post),
    "after_effect": Point(owner=ToolRuntime, function="call", moment="after", applies=_is_write),
    "after_step": Point(
        owner=StoredJournal, function="finish", moment="after", applies=_is_written_step
    ),
    "before_ack": Point(owner=Settlement, function="settle", moment="after"),
}
"""In the order of a task's life. What each means is told in docs/howto."""


class Marks:
    """Files that say what was done to whom; made by workers, counted by the harness."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def make(self, kind: str, ref: str, point: str) -> bool:
        """Make a mark; false where it stands already."""
        try:
            descriptor = os.open(
                self._folder / f"{kind}.{ref}.{point}", os.O_CREAT | os.O_EXCL | os.O_WRONLY
            )
        except FileExistsError:
            return False
        os.write(descriptor, f"{os.getpid()} {time.time()}".encode())
        os.close(descriptor)
        return True

    def exists(self, kind: str, ref: str, point: str) -> bool:
        return (self._folder / f"{kind}.{ref}.{point}").exists()

    def all(self, kind: str) -> list[tuple[str, str]]:
        """Reference and point of every mark of a kind."""
        return [
            (parts[1], parts[2])
            for path in self._folder.iterdir()
            if (parts := path.name.split("."))[0] == kind
        ]

    def note_read(self, ref: str, replies: int) -> None:
        """Say that a worker has read the model's reply to this point of a conversation."""
        with (self._folder / "reads.log").open("a") as log:
            log.write(f"{ref} {replies} {time.time()}\n")

    def reads(self) -> list[tuple[str, int, float]]:
        path = self._folder / "reads.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(ref, int(replies), float(at)) for ref, replies, at in map(str.split, lines)]


class Doom:
    """Ends or stalls this process where the task at work says so."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._at_work = threading.local()

    def begin(self, payload: object) -> None:
        """Note the task that this thread works on now."""
        text = payload.get("input", "") if isinstance(payload, dict) else ""
        self._at_work.tags = read_tags(text)

    def reach(self, point: str) -> None:
        """Die here, once, if the task says so."""
        self.strike(getattr(self._at_work, "tags", {}), point)

    def reach_soon(self, point: str) -> None:
        """Die in a moment, while what follows is under way."""
        tags = getattr(self._at_work, "tags", {})
        if self._is_due(tags, point):
            threading.Timer(_UNDER_WAY_SECONDS, self.strike, (tags, point)).start()

    def strike(self, tags: Mapping[str, str], point: str) -> None:
        if self._is_due(tags, point) and self._marks.make("kill", tags["task"], point):
            os.kill(os.getpid(), signal.SIGKILL)
        if tags.get("stall") == point and self._marks.make("stall", tags["task"], point):
            os.kill(os.getpid(), signal.SIGSTOP)

    def _is_due(self, tags: Mapping[str, str], point: str) -> bool:
        named = tags.get("kill", "").split(",")
        if point in named:
            return not self._marks.exists("kill", tags["task"], point)
        return f"resumed_{point}" in named and self._is_resumed(tags, point)

    def _is_resumed(self, tags: Mapping[str, str], point: str) -> bool:
        decided = self._marks.exists("decided", tags["task"], "review")
        return decided and not self._marks.exists("kill", tags["task"], point)


def install(marks: Marks) -> None:
    """Wrap the functions of all points. Call it once, in the process that shall die."""
    doom = Doom(marks)
    for owner, function in {(point.owner, point.function) for point in POINTS.values()}:
        here = {
            name: point
            for name, point in POINTS.items()
            if (point.owner, point.function) == (owner, function)
        }
        _wrap(owner, function, here, doom)
    _note_work(doom)
    _note_reads(marks)


def _wrap(owner: type, function: str, here: Mapping[str, Point], doom: Doom) -> None:
    original = getattr(owner, function)

    def names(moment: str, arguments: Arguments) -> Sequence[str]:
        return [
            name
            for name, point in here.items()
            if point.moment == moment and point.applies(arguments)
        ]

    @functools.wraps(original)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        for name in names("before", arguments):
            doom.reach(name)
        for name in names("during", arguments):
            doom.reach_soon(name)
        result = original(*arguments, **options)
        for name in names("after", arguments):
            doom.reach(name)
        return result

    setattr(owner, function, wrapped)


def _note_work(doom: Doom) -> None:
    deliver = Executor.deliver

    @functools.wraps(deliver)
    def noted(self: Executor, payload: object, **options: Any) -> None:
        doom.begin(payload)
        deliver(self, payload, **options)

    Executor.deliver = noted  # type: ignore[method-assign]


def _note_reads(marks: Marks) -> None:
    complete = Gateway.complete

    @functools.wraps(complete)
    def noted(self: Gateway, request: Any) -> Any:
        reply = complete(self, request)
        tags, replies = turn_of(request.messages)
        if "task" in tags:
            marks.note_read(tags["task"], replies)
        return reply

    Gateway.complete = noted  # type: ignore[method-assign]
