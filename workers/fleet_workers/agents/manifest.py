"""The form of agent.toml: what an agent is for, may do, and must leave to others."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from fleet_contracts.envelope import AgentName
from fleet_contracts.errors import ConfigurationError
from fleet_contracts.faults import read_toml
from fleet_workers.agents.answer_rules import AnswerSection
from fleet_workers.agents.batching import BatchingSection
from fleet_workers.agents.bounds import Rates, SpendLimits
from fleet_workers.agents.caching import CacheSection
from fleet_workers.agents.review_rules import KindName, ReviewRule, check_rules
from fleet_workers.agents.tiers import FirstTier, TierSection
from fleet_workers.models.candidates import TIERS
from fleet_workers.rails.personal_values import Kind
from fleet_workers.tools.importers.settings import ImportSection, PromiseSection

MANIFEST_NAME = "agent.toml"
Line = Annotated[str, StringConstraints(min_length=3, max_length=300)]
ImportName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
PromptVersion = Annotated[str, StringConstraints(pattern=r"^v[0-9]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scope(_Part):
    """The written boundary. `handles` attracts requests, `never` is what the agent must not do."""

    handles: tuple[Line, ...] = Field(min_length=1)
    never: tuple[Line, ...] = Field(min_length=1)


class ApprovalRule(_Part):
    """A person must approve a call of the tool when `argument` is over `above`.

    Without `argument` every call of the tool needs approval. `people` is how many different
    persons must say yes; an approval that is not acted on within `valid_hours` is void.
    """

    argument: str | None = None
    above: Decimal = Decimal(0)
    people: Annotated[int, Field(ge=1, le=5)] = 1
    valid_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24


class Limits(_Part):
    """Bounds on one task. A task that reaches one goes to a person."""

    model_calls: Annotated[int, Field(ge=1, le=200)] = 12
    tool_calls: Annotated[int, Field(ge=0, le=200)] = 20
    corrections: Annotated[int, Field(ge=0, le=10)] = 1
    """How often the model may mend a call whose arguments were not accepted."""
    answer_tokens: Annotated[int, Field(ge=64)] | None = None
    """The longest reply of the model, where FLEET_MODEL_MAX_OUTPUT_TOKENS is not smaller."""


class Manifest(_Part):
    """agent.toml, validated.

    `tools` grants tools of the folder's tools.py by name, each of `imports` what it includes;
    `promises` is laid over what tools say themselves. `environment` names the only environment
    variables that the tools may see. `tier` names the model that is asked first, where `auto` goes
    by how difficult a request is, and `tiers` what follows. `review_below` is the confidence,
    0 to 1, under which an answer goes to a person. `scopes` grants rights that tools ask for.
    `untrusted_data` names fields of a task's data that hold what others wrote. `readable` names
    kinds of personal data that the model may read; of all others it sees placeholders. `answers`
    says what no answer may say. `when_away` says, by tool, what happens while its breaker is open
    or an operator has disabled it: the task waits (as where nothing is said), the agent goes on
    without the tool, or a person takes over. `batching` lets requests that are in flight together
    share calls, and `cache` lets replies be used again. `reviews` says by kind how soon people look
    at what the agent puts before them.
    """

    name: AgentName
    title: Line
    description: Line
    prompt: PromptVersion = "v1"
    tools: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    tier: FirstTier = "small"
    tiers: TierSection = TierSection()
    review_below: Annotated[float, Field(ge=0, le=1)] = 0.7
    scope: Scope
    limits: Limits = Limits()
    approvals: dict[str, ApprovalRule] = Field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    untrusted_data: tuple[str, ...] = ()
    when_away: dict[str, Literal["wait", "without", "review"]] = Field(default_factory=dict)
    imports: dict[ImportName, ImportSection] = Field(default_factory=dict)
    promises: dict[str, PromiseSection] = Field(default_factory=dict)
    spend: SpendLimits = SpendLimits()
    rates: Rates = Rates()
    readable: frozenset[Kind] = frozenset()
    answers: AnswerSection = AnswerSection()
    batching: BatchingSection = BatchingSection()
    cache: CacheSection = CacheSection()
    reviews: dict[KindName, ReviewRule] = Field(default_factory=dict)

    @field_validator("reviews")
    @classmethod
    def _reviews_can_be_refused(
        cls, rules: dict[KindName, ReviewRule]
    ) -> dict[KindName, ReviewRule]:
        check_rules(rules)
        return rules

    @model_validator(mode="after")
    def _tiers_are_in_order(self) -> "Manifest":
        first, highest = self.tier, self.tiers.highest
        if first != "auto" and TIERS.index(highest) < TIERS.index(first):
            raise ValueError(f"tiers.highest is {highest}, below tier = {first}: raise it")
        below = self.tiers.climb_below
        if below is not None and below < self.review_below:
            raise ValueError(
                f"tiers.climb_below is {below}, under review_below = {self.review_below}: what "
                "goes to a person is tried by the next tier first, so it cannot be lower"
            )
        return self

    @model_validator(mode="after")
    def _imports_use_named_variables(self) -> "Manifest":
        for name, section in self.imports.items():
            hidden = [each for each in section.variables if each not in self.environment]
            if hidden:
                raise ValueError(f"imports.{name} uses {', '.join(hidden)}: add to environment")
        return self


def load_manifest(folder: Path) -> Manifest:
    """Read and check a folder's agent.toml.

    Raises:
        ConfigurationError: Names the file, the field and the remedy.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = read_toml(path, Manifest)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} is missing: `fleetctl agents new NAME` writes one."
        ) from error
    if manifest.name != folder.name:
        raise ConfigurationError(
            f"{path} says name = {manifest.name!r}, its folder is {folder.name!r}: make them equal."
        )
    if manifest.name in {"auto", "dead"}:
        raise ConfigurationError(f"{path}: the name {manifest.name!r} is the fleet's own.")
    return manifest
