"""Everything outside that the loop may touch, as it sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import FleetError
from fleet_workers.controller.admission import Admission, Everything
from fleet_workers.models.messages import ChatModel, Message
from fleet_workers.routing.verdict import Route
from fleet_workers.tools import Tool
from fleet_workers.tools.repeat import Repeat


class ToolPort(Protocol):
    """Calls tools; what `fleet_workers.tools.runtime.ToolRuntime` does."""

    def call(
        self,
        tool: Tool,
        arguments: dict[str, object],
        *,
        envelope: TaskEnvelope,
        agent: str,
        key: str,
        environment: tuple[str, ...],
        repeat: Repeat | None,
        fence: Callable[[], None],
    ) -> object:
        """Call once, retrying short blips where that is safe; gives a JSON-ready value.

        `repeat` marks a call that was begun before. `fence` is to be called right before anything
        goes out.

        Raises:
            TransientError: It may succeed later; the step stays open and is repeated with its key.
            PermanentError: It will not; the model is told.
            PolicyError: It is about somebody else; nothing was done and the model is told.
            InDoubt: A write may have been done or not; a person is asked.
            LeaseLost: Another worker holds the task.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What stands over a run from outside.

    `must_yield` tells that the task shall go back to its queue before the next step: the worker
    is being stopped, or the agent or tenant paused. `fence` raises LeaseLost where the task is no
    longer this worker's.
    """

    must_yield: Callable[[], bool]
    fence: Callable[[], None]


UNGUARDED = Guard(must_yield=lambda: False, fence=lambda: None)
"""For runs that nobody else can take over."""


class Draining(FleetError):
    """The worker is being stopped, or the task paused: it goes back to its queue now."""

    code = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The model, the tools, what admits their calls, the session's memory, and the environment.

    `first_models` as in `Situation`. `route` says whom a masked text is for; None where a model
    always chooses.
    """

    model: ChatModel
    tools: ToolPort
    recall: Callable[[TaskEnvelope], list[Message]]
    model_timeout_seconds: float
    admission: Admission = field(default_factory=Everything)
    environment: Mapping[str, str] = field(default_factory=dict)
    first_models: Mapping[str, str] = field(default_factory=dict)
    route: Route | None = None
