"""The client for ordinary code: sends and follows tasks, and blocks while it does."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from uuid import UUID

from fleet_client.conversations import WAIT_SECONDS, Conversations
from fleet_client.handles import SubmitResult, TaskHandle
from fleet_client.options import TaskItem, TaskOptions
from fleet_client.settings import ClientSettings, read_settings
from fleet_client.steps import Conversation, HttpAnswer, Pause, Publish, Step
from fleet_client.wires import Wires
from fleet_contracts.errors import FleetError
from fleet_contracts.feedback import Feedback, Rating
from fleet_contracts.outcome import TaskView

T = TypeVar("T")


class FleetClient:
    """Submits tasks to a fleet and follows them. Safe for threads; a context manager.

    With `broker_url` tasks go over the broker (where a tenant is known), otherwise over HTTP.
    Following always goes over HTTP. `timeout` is in seconds and limits each single exchange with
    a server. Nothing is connected before it is needed. After a fork, make a new client.

    Every method raises errors of `fleet_contracts.errors`; where `retryable` is true, the same
    call may succeed later.
    """

    def __init__(
        self,
        broker_url: str | None = None,
        api_url: str | None = None,
        api_key: str | None = None,
        tenant: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._settings = ClientSettings(
            broker_url=broker_url,
            api_url=api_url,
            api_key=api_key,
            tenant=tenant,
            timeout_seconds=timeout,
        )
        self._conversations = Conversations(self._settings)
        self._wires = Wires(self._settings)

    @classmethod
    def from_environment(cls) -> Self:
        """Take FLEET_BROKER_URL, FLEET_API_URL, FLEET_API_KEY, FLEET_TENANT or the local fleet.

        Raises:
            ConfigurationError: No address is set and `./.fleet/client.json` is not there.
        """
        found = read_settings()
        return cls(found.broker_url, found.api_url, found.api_key, found.tenant)

    def submit(self, text: str, **options: Unpack[TaskOptions]) -> TaskHandle:
        """Hand in one task; see `TaskOptions`. The task is stored or queued when this returns.

        Raises:
            InvalidEnvelope: A field is wrong, or the task is over 256 KiB.
            UnknownAgent: No agent of that name is installed, or it never had a worker.
            UnknownTenant: No tenant of that name exists.
            Conflict: The idempotency key stands for other content (over the broker: not noticed
                here; the first task stands).
            Unauthorized: The key or the broker's user does not allow it.
            Unavailable: No server can be reached; nothing was submitted.
            TimedOut: Whether the task was taken is not known.
        """
        return TaskHandle(self._run(self._conversations.submit(text, options)), self)

    def submit_many(self, items: Iterable[str | TaskItem]) -> list[SubmitResult[TaskHandle]]:
        """Hand in many tasks; give one result an item, in order. Errors are returned, not raised.

        When a server cannot be reached or refuses the key, all tasks left get that error unsent.
        """
        return [
            SubmitResult(error=result)
            if isinstance(result, FleetError)
            else SubmitResult(handle=TaskHandle(result, self))
            for result in self._run(self._conversations.submit_many(items))
        ]

    def status(self, task_id: UUID | str) -> TaskView:
        """Ask how a task stands.

        Raises:
            UnknownTask: No such task in the tenant, or no worker has taken it from the broker yet.
        """
        return self._run(self._conversations.status(task_id))

    def wait(
        self, task_id: UUID | str, timeout: float = WAIT_SECONDS, *, follow: bool = False
    ) -> TaskView:
        """Wait until nothing more happens by itself: the task is final, dead or in review.

        With `follow`, the task that took the place of a debounced one is waited for and given.
        Outages of the server shorter than 15 s are waited out.

        Raises:
            TimedOut: The task is not settled after `timeout` seconds; it goes on.
            UnknownTask: No such task; with a broker, only said once the time is up.
        """
        return self._run(self._conversations.wait(task_id, timeout, follow=follow))

    def cancel(self, task_id: UUID | str) -> TaskView:
        """Ask that a task be given up, and give how it stands then.

        Raises:
            Conflict: The task is already final.
        """
        return self._run(self._conversations.cancel(task_id))

    def journal(self, task_id: UUID | str) -> list[dict[str, Any]]:
        """Give the task's steps so far, the oldest first."""
        return self._run(self._conversations.journal(task_id))

    def give_feedback(
        self,
        task_id: UUID | str,
        rating: Rating | None = None,
        comment: str = "",
        *,
        flag: bool = False,
    ) -> Feedback:
        """Say how a finished task went; what the key's tenant said before this way is replaced.

        A flag, or a bad rating with a comment (2,000 characters at most), puts it before a person.

        Raises:
            InvalidInput: Nothing is said, or the comment is too long.
            Conflict: The task has not ended yet.
        """
        return self._run(
            self._conversations.give_feedback(task_id, rating=rating, comment=comment, flag=flag)
        )

    def feedback_link(self, task_id: UUID | str, days: int = 30) -> str:
        """Ask for an address at which a customer can say so without a key, for some days.

        Raises:
            Conflict: The task has not ended yet.
        """
        return self._run(self._conversations.feedback_link(task_id, days=days))

    def close(self) -> None:
        """Close all connections."""
        self._wires.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, conversation: Conversation[T]) -> T:
        try:
            step = next(conversation)
            while True:
                try:
                    answer = self._perform(step)
                except FleetError as error:
                    step = conversation.throw(error)
                else:
                    step = conversation.send(answer)
        except StopIteration as finished:
            result: T = finished.value
            return result

    def _perform(self, step: Step) -> HttpAnswer | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        if isinstance(step, Publish):
            self._wires.broker().publish(step.envelope)
            return None
        return self._wires.http().send(step)
