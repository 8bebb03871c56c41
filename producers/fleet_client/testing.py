"""Clients for users' own tests: they record every task and answer as the test has scripted."""

import json
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fleet_client.async_client import AsyncFleetClient
from fleet_client.client import FleetClient
from fleet_client.steps import HttpAnswer, HttpRequest, Pause, Publish, Step
from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import Conflict, FleetError, UnknownTask
from fleet_contracts.feedback import Feedback
from fleet_contracts.outcome import Outcome, OutcomeKind, TaskView
from fleet_contracts.states import TaskState

_STATES = {
    OutcomeKind.ANSWERED: TaskState.SUCCEEDED,
    OutcomeKind.ASKED: TaskState.SUCCEEDED,
    OutcomeKind.REVIEW: TaskState.IN_REVIEW,
    OutcomeKind.DEAD: TaskState.DEAD,
}

_CANCELLABLE = {TaskState.QUEUED, TaskState.IN_REVIEW, TaskState.CANCELLED}

_DEFAULT = Outcome(kind=OutcomeKind.ANSWERED, answer="recorded", confidence=1.0)


class RecordedFleet:
    """A fleet in memory: `envelopes` holds what was submitted, in order, `feedback` what was said.

    Each `script` call sets what comes of the next task without a script: an `Outcome`, an error
    raised by its submit, or None for a task that stays queued. Unscripted tasks are answered with
    "recorded". Envelopes are validated and idempotency keys honoured as by a real fleet.
    """

    def __init__(self) -> None:
        self.envelopes: list[TaskEnvelope] = []
        self.feedback: dict[UUID, Feedback] = {}
        self._scripts: deque[Outcome | FleetError | None] = deque()
        self._views: dict[UUID, TaskView] = {}
        self._lock = threading.Lock()

    def script(self, *outcomes: Outcome | FleetError | None) -> None:
        """Say what comes of the next tasks, in order."""
        with self._lock:
            self._scripts.extend(outcomes)

    def perform(self, step: Publish | HttpRequest) -> HttpAnswer | None:
        """Do what a client asks of the fleet."""
        with self._lock:
            if isinstance(step, Publish):
                self._take(step.envelope)
                return None
            return self._answer(step)

    def _take(self, envelope: TaskEnvelope) -> None:
        for earlier in self.envelopes:
            if envelope.id == earlier.id:
                if envelope.content_hash == earlier.content_hash:
                    return
                raise Conflict(
                    f"The idempotency key {envelope.idempotency_key!r} stands for another task: "
                    "use a new key for new content."
                )
        scripted = self._scripts.popleft() if self._scripts else _DEFAULT
        if isinstance(scripted, FleetError):
            raise scripted
        self.envelopes.append(envelope)
        now = datetime.now(tz=UTC)
        self._views[envelope.id] = TaskView(
            id=envelope.id,
            tenant=envelope.tenant,
            agent=envelope.agent,
            requested_agent=envelope.agent,
            state=_STATES[scripted.kind] if scripted else TaskState.QUEUED,
            customer=envelope.customer,
            session_id=envelope.session_id,
            created_at=now,
            finished_at=now if scripted else None,
            outcome=scripted,
            metadata=envelope.metadata,
        )

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        parts = request.path.partition("?")[0].split("/")
        task_id = UUID(parts[3])
        view = self._views.get(task_id)
        if view is None:
            raise UnknownTask(f"No task {task_id} was submitted to this recording client.")
        if parts[-1].startswith("feedback") and view.finished_at is None:
            raise Conflict(f"Task {task_id} is {view.state}: it can be judged once it has ended.")
        if parts[-1] == "feedback":
            return self._keep(task_id, json.loads(str(request.body)))
        if parts[-1] == "feedback-link":
            return _ok({"url": f"http://recording.invalid/feedback/{task_id}"})
        if parts[-1] == "journal":
            return _ok({"steps": []})
        if parts[-1] == "cancel":
            if view.state not in _CANCELLABLE:
                raise Conflict(f"Task {task_id} is {view.state}: it cannot be cancelled.")
            view = view.model_copy(update={"state": TaskState.CANCELLED})
            self._views[task_id] = view
        return _ok(view.model_dump(mode="json"))

    def _keep(self, task_id: UUID, said: dict[str, Any]) -> HttpAnswer:
        now = datetime.now(tz=UTC)
        self.feedback[task_id] = Feedback.model_validate(
            {"task_id": task_id, "created_at": now, **said}
        )
        return _ok(self.feedback[task_id].model_dump(mode="json"))


class RecordingClient(FleetClient):
    """A `FleetClient` that connects to nothing; see `RecordedFleet` for what it can be told."""

    def __init__(self, tenant: str = "test") -> None:
        super().__init__("memory://", "http://recording.invalid", tenant=tenant)
        self.fleet = RecordedFleet()

    @property
    def envelopes(self) -> list[TaskEnvelope]:
        """The tasks submitted so far, in order."""
        return self.fleet.envelopes

    def script(self, *outcomes: Outcome | FleetError | None) -> None:
        """Say what comes of the next tasks, in order; None leaves a task queued."""
        self.fleet.script(*outcomes)

    def _perform(self, step: Step) -> HttpAnswer | None:
        return super()._perform(step) if isinstance(step, Pause) else self.fleet.perform(step)


class AsyncRecordingClient(AsyncFleetClient):
    """As `RecordingClient`, for asyncio."""

    def __init__(self, tenant: str = "test") -> None:
        super().__init__("memory://", "http://recording.invalid", tenant=tenant)
        self.fleet = RecordedFleet()

    @property
    def envelopes(self) -> list[TaskEnvelope]:
        """The tasks submitted so far, in order."""
        return self.fleet.envelopes

    def script(self, *outcomes: Outcome | FleetError | None) -> None:
        """Say what comes of the next tasks, in order; None leaves a task queued."""
        self.fleet.script(*outcomes)

    async def _perform(self, step: Step) -> HttpAnswer | None:
        return await super()._perform(step) if isinstance(step, Pause) else self.fleet.perform(step)


def _ok(body: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(status=200, headers={}, body=json.dumps(body).encode())
