"""The client for asyncio: as `FleetClient`, and never blocks the event loop."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from uuid import UUID

from fleet_client.conversations import WAIT_SECONDS, Conversations
from fleet_client.handles import AsyncTaskHandle, SubmitResult
from fleet_client.options import TaskItem, TaskOptions
from fleet_client.settings import ClientSettings, read_settings
from fleet_client.steps import Conversation, HttpAnswer, Pause, Publish, Step
from fleet_client.wires import Wires
from fleet_contracts.errors import FleetError
from fleet_contracts.feedback import Feedback, Rating
from fleet_contracts.outcome import TaskView

T = TypeVar("T")


class AsyncFleetClient:
    """Submits tasks to a fleet and follows them, for one event loop; an async context manager.

    Arguments, methods and errors are those of `FleetClient`. Publishing to a broker takes place
    in a worker thread.
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
        """As `FleetClient.from_environment`."""
        found = read_settings()
        return cls(found.broker_url, found.api_url, found.api_key, found.tenant)

    async def submit(self, text: str, **options: Unpack[TaskOptions]) -> AsyncTaskHandle:
        """As `FleetClient.submit`."""
        return AsyncTaskHandle(await self._run(self._conversations.submit(text, options)), self)

    async def submit_many(
        self, items: Iterable[str | TaskItem]
    ) -> list[SubmitResult[AsyncTaskHandle]]:
        """As `FleetClient.submit_many`."""
        return [
            SubmitResult(error=result)
            if isinstance(result, FleetError)
            else SubmitResult(handle=AsyncTaskHandle(result, self))
            for result in await self._run(self._conversations.submit_many(items))
        ]

    async def status(self, task_id: UUID | str) -> TaskView:
        """As `FleetClient.status`."""
        return await self._run(self._conversations.status(task_id))

    async def wait(
        self,
        task_id: UUID | str,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109 - one meaning with the sync client
        *,
        follow: bool = False,
    ) -> TaskView:
        """As `FleetClient.wait`."""
        return await self._run(self._conversations.wait(task_id, timeout, follow=follow))

    async def cancel(self, task_id: UUID | str) -> TaskView:
        """As `FleetClient.cancel`."""
        return await self._run(self._conversations.cancel(task_id))

    async def journal(self, task_id: UUID | str) -> list[dict[str, Any]]:
        """As `FleetClient.journal`."""
        return await self._run(self._conversations.journal(task_id))

    async def give_feedback(
        self,
        task_id: UUID | str,
        rating: Rating | None = None,
        comment: str = "",
        *,
        flag: bool = False,
    ) -> Feedback:
        """As `FleetClient.give_feedback`."""
        return await self._run(
            self._conversations.give_feedback(task_id, rating=rating, comment=comment, flag=flag)
        )

    async def feedback_link(self, task_id: UUID | str, days: int = 30) -> str:
        """As `FleetClient.feedback_link`."""
        return await self._run(self._conversations.feedback_link(task_id, days=days))

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.to_thread(self._wires.close)
        await self._wires.close_async()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, conversation: Conversation[T]) -> T:
        try:
            step = next(conversation)
            while True:
                try:
                    answer = await self._perform(step)
                except FleetError as error:
                    step = conversation.throw(error)
                else:
                    step = conversation.send(answer)
        except StopIteration as finished:
            result: T = finished.value
            return result

    async def _perform(self, step: Step) -> HttpAnswer | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        if isinstance(step, Publish):
            await asyncio.to_thread(self._wires.broker().publish, step.envelope)
            return None
        return await self._wires.async_http().send(step)
