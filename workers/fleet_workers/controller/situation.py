"""All that a decision may depend on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.agents import AgentRelease
from fleet_workers.store.journal import Step, StepKind

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A task at one moment: who works on it, what was asked, what was done.

    `now` is the time of the moment; only an approval's validity depends on it.
    """

    release: AgentRelease
    envelope: TaskEnvelope
    steps: Sequence[Step]
    now: datetime = _LONG_AGO

    def count(self, kind: StepKind, name: str | None = None) -> int:
        """Number of steps of a kind, of one name where a name is given."""
        return sum(
            1 for step in self.steps if step.kind is kind and (name is None or step.name == name)
        )
