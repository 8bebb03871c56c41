"""Where a worker can be made to die: the real functions of the fleet, wrapped in the worker itself.

A task's text names its points. A mark on the disk, made before the signal, lets each happen once.
"""

import functools
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2

from chaos.marks import Marks
from chaos.scenarios import SLOW_POINT, read_tags, turn_of
from fleet_workers.controller.execution import Executor
from fleet_workers.controller.settlement import Settlement
from fleet_workers.models.gateway import Gateway
from fleet_workers.store.journal import StepKind, StoredJournal
from fleet_workers.store.leases import LeaseKeeper
from fleet_workers.tools import Tool
from fleet_workers.tools.runtime import ToolRuntime

MARKS_VARIABLE = "CHAOS_MARKS"
RESUMED = "resumed_"
"""Before a point's name: only once a person has decided the task's review."""

Arguments = tuple[Any, ...]
_UNDER_WAY_SECONDS = 0.02  # the model takes 0.05 s for a reply


def _always(_arguments: Arguments) -> bool:
    return True


def _is_write(arguments: Arguments) -> bool:
    called: Tool = arguments[1]
    return called.effect == "write"


def _is_post(arguments: Arguments) -> bool:
    request: httpx2.Request = arguments[1]
    return request.method == "POST" and not request.url.path.endswith("/chat/completions")


def _is_call(arguments: Arguments) -> bool:
    return bool(arguments[1] is StepKind.TOOL)


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
    "after_model_call": Point(owner=Gateway, function="complete", moment="after"),
    "after_plan": Point(owner=StoredJournal, function="begin", moment="after", applies=_is_call),
    "before_effect": Point(owner=ToolRuntime, function="call", moment="before", applies=_is_write),
    SLOW_POINT: Point(
        owner=httpx2.HTTPTransport, function="handle_request", moment="during", applies=_is_post
    ),
    "during_effect": Point(
        owner=httpx2.HTTPTransport, function="handle_request", moment="after", applies=_is_post
    ),
    "after_effect": Point(owner=ToolRuntime, function="call", moment="after", applies=_is_write),
    "after_step": Point(
        owner=StoredJournal, function="finish", moment="after", applies=_is_written_step
    ),
    "before_ack": Point(owner=Settlement, function="settle", moment="after"),
}
"""In the order of a task's life. What each means is told in docs/howto."""

RESUMED_POINTS = tuple(
    RESUMED + name for name in ("after_claim", "before_effect", "during_effect", "after_effect")
)
STALL_POINTS = ("after_claim", "during_model_call", "before_effect", "during_effect", "after_step")


class Doom:
    """Ends or stalls this process where the task at work says so."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._at_work = threading.local()

    @property
    def epoch(self) -> int:
        """The epoch of the claim that this thread works under; 0 before a claim."""
        return getattr(self._at_work, "epoch", 0)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the task that this thread works on; empty between tasks."""
        return getattr(self._at_work, "tags", {})

    def begin(self, text: str, epoch: int) -> None:
        """Note the task that this thread works on now."""
        self._at_work.tags = read_tags(text)
        self._at_work.epoch = epoch

    def reach(self, point: str) -> None:
        """Die here, once, if the task says so; a poison task as often as it comes here."""
        self._strike(self.tags, point)

    def reach_soon(self, point: str) -> None:
        """Die in a moment, while what follows is under way."""
        tags = self.tags
        if tags:
            threading.Timer(_UNDER_WAY_SECONDS, self._strike, (tags, point)).start()

    def _strike(self, tags: Mapping[str, str], point: str) -> None:
        ref, kill = tags.get("task", ""), tags.get("kill", "")
        resumed = kill == RESUMED + point and self._marks.exists("decided", ref, "review")
        if (kill == point or resumed) and self._marks.make("kill", ref, kill):
            self._die()
        if tags.get("poison") == point:
            self._marks.make("poison", ref, f"{point}-{os.getpid()}")
            self._die()
        # A process for one task leads no session, and nobody would let it go on.
        stalls = tags.get("stall") == point and os.getsid(0) == os.getpid()
        if stalls and self._marks.make("stall", ref, point):
            # To this thread, which so stops here: sent to the process, another might take it.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def prepare_child() -> None:
    """Let a process of the nursery die at the points, where it is told of marks."""
    if marks := os.environ.get(MARKS_VARIABLE):
        install(Marks(Path(marks)))


def install(marks: Marks) -> None:
    """Wrap the functions of all points. Call it once, in the process that shall die.

    What is noted is wrapped first: a reply counts as read where the worker dies right after it.
    """
    doom = Doom(marks)
    _note_reads(marks, doom)
    _note_asks(marks, doom)
    for owner, function in {(point.owner, point.function) for point in POINTS.values()}:
        here = {
            name: point
            for name, point in POINTS.items()
            if (point.owner, point.function) == (owner, function)
        }
        _wrap(owner, function, here, doom)
    _note_work(doom)


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
    """A worker enters by `deliver`, a process for one task by `work`."""
    deliver, work = Executor.deliver, Executor.work

    @functools.wraps(deliver)
    def delivered(self: Executor, payload: object, **options: Any) -> None:
        doom.begin(str(payload.get("input", "")) if isinstance(payload, dict) else "", 0)
        deliver(self, payload, **options)

    @functools.wraps(work)
    def worked(self: Executor, claim: Any, envelope: Any, **options: Any) -> None:
        doom.begin(envelope.input, claim.epoch)
        work(self, claim, envelope, **options)

    Executor.deliver, Executor.work = delivered, worked  # type: ignore[method-assign]


def _note_reads(marks: Marks, doom: Doom) -> None:
    complete = Gateway.complete

    @functools.wraps(complete)
    def noted(self: Gateway, request: Any) -> Any:
        reply = complete(self, request)
        if "task" in doom.tags:
            marks.note_read(doom.tags["task"], turn_of(request.messages)[1], doom.epoch)
        return reply

    Gateway.complete = noted  # type: ignore[method-assign]


def _note_asks(marks: Marks, doom: Doom) -> None:
    handle = httpx2.HTTPTransport.handle_request

    @functools.wraps(handle)
    def noted(self: httpx2.HTTPTransport, request: httpx2.Request) -> httpx2.Response:
        if _is_post((self, request)) and "task" in doom.tags:
            marks.note_ask(doom.tags["task"], doom.epoch)
        return handle(self, request)

    httpx2.HTTPTransport.handle_request = noted  # type: ignore[method-assign]
