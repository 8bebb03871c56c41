"""What submitting gives back: handles to follow a task with, and results of a bulk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from fleet_client.conversations import WAIT_SECONDS
from fleet_contracts.errors import FleetError
from fleet_contracts.outcome import TaskView

if TYPE_CHECKING:
    from fleet_client.async_client import AsyncFleetClient
    from fleet_client.client import FleetClient

HandleT_co = TypeVar("HandleT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class TaskHandle:
    """A submitted task. Its methods are those of `FleetClient` with this id."""

    id: UUID
    _client: FleetClient = field(repr=False, compare=False)

    def status(self) -> TaskView:
        """Ask how the task stands."""
        return self._client.status(self.id)

    def wait(self, timeout: float = WAIT_SECONDS, *, follow: bool = False) -> TaskView:
        """Wait until the task is settled, up to `timeout` seconds."""
        return self._client.wait(self.id, timeout, follow=follow)

    def cancel(self) -> TaskView:
        """Ask that the task be given up."""
        return self._client.cancel(self.id)

    def journal(self) -> list[dict[str, Any]]:
        """Give the task's steps so far, the oldest first."""
        return self._client.journal(self.id)


@dataclass(frozen=True, slots=True)
class AsyncTaskHandle:
    """A submitted task. Its methods are those of `AsyncFleetClient` with this id."""

    id: UUID
    _client: AsyncFleetClient = field(repr=False, compare=False)

    async def status(self) -> TaskView:
        """Ask how the task stands."""
        return await self._client.status(self.id)

    async def wait(
        self,
        timeout: float = WAIT_SECONDS,  # noqa: ASYNC109 - as sync
        *,
        follow: bool = False,
    ) -> TaskView:
        """Wait until the task is settled, up to `timeout` seconds."""
        return await self._client.wait(self.id, timeout, follow=follow)

    async def cancel(self) -> TaskView:
        """Ask that the task be given up."""
        return await self._client.cancel(self.id)

    async def journal(self) -> list[dict[str, Any]]:
        """Give the task's steps so far, the oldest first."""
        return await self._client.journal(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitResult(Generic[HandleT_co]):
    """What came of one item of `submit_many`: a handle or an error, never both."""

    handle: HandleT_co | None = None
    error: FleetError | None = None

    @property
    def ok(self) -> bool:
        """True where the task was accepted."""
        return self.error is None
