"""All that a decision may depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fleet_contracts.envelope import TaskEnvelope
from fleet_workers.agents import AgentRelease
from fleet_workers.store.journal import Step, StepKind

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A task at one moment: who works on it, what was asked, what was done.

    `now` is the time of the moment: an approval's validity and what `tomorrow` means depend on
    it. `environment` holds the variables of the process, of which those that the agent's tools see
    must stand in no answer. `first_models` names by tier the model that is asked first; where it is
    empty no tier is larger than another.
    """

    release: AgentRelease
    envelope: TaskEnvelope
    steps: Sequence[Step]
    now: datetime = _LONG_AGO
    environment: Mapping[str, str] = field(default_factory=dict)
    first_models: Mapping[str, str] = field(default_factory=dict)

    def count(self, kind: StepKind, name: str | None = None) -> int:
        """Number of steps of a kind, of one name where a name is given."""
        return sum(
            1 for step in self.steps if step.kind is kind and (name is None or step.name == name)
        )


def is_suspicious(steps: Sequence[Step]) -> bool:
    """Whether the request, or a text that was read for it, tries to steer the agent."""
    return any(
        step.kind in {StepKind.INBOUND, StepKind.TOOL} and bool((step.result or {}).get("signals"))
        for step in steps
    )
