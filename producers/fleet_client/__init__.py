"""Submit tasks to an Agent Fleet and follow them: what other services install."""

from fleet_client.async_client import AsyncFleetClient
from fleet_client.client import FleetClient
from fleet_client.handles import AsyncTaskHandle, SubmitResult, TaskHandle
from fleet_client.options import Debounce, TaskItem, TaskOptions
from fleet_contracts.outcome import TaskView

__all__ = [
    "AsyncFleetClient",
    "AsyncTaskHandle",
    "Debounce",
    "FleetClient",
    "SubmitResult",
    "TaskHandle",
    "TaskItem",
    "TaskOptions",
    "TaskView",
]
