"""What every process of the fleet agrees on: envelope, outcome, states, codec, topology, errors."""

from fleet_contracts.envelope import MAX_ENVELOPE_BYTES, SCHEMA_VERSION, Priority, TaskEnvelope
from fleet_contracts.errors import FleetError
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_contracts.states import TaskState

__all__ = [
    "MAX_ENVELOPE_BYTES",
    "SCHEMA_VERSION",
    "FleetError",
    "Outcome",
    "OutcomeKind",
    "Priority",
    "TaskEnvelope",
    "TaskState",
]
