"""How long what the fleet has stored is kept: the desk file's section `[retention]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal[
    "journal", "results", "reviews", "dead_letters", "events", "feedback", "spend", "figures",
    "audit",
]  # fmt: skip
Days = Annotated[int, Field(ge=1, le=36_500)]
Kept = Days | Literal["always"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose rows a number of days holds for: one tenant's, or those of all but `others`."""

    days: int
    tenant: str | None = None
    others: tuple[str, ...] = ()


class TenantRetention(BaseModel):
    """What a tenant keeps for another time than the fleet does; what is left out is as there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    journal: Kept | None = None
    results: Kept | None = None
    reviews: Kept | None = None
    dead_letters: Kept | None = None
    events: Kept | None = None
    feedback: Kept | None = None
    spend: Kept | None = None
    figures: Kept | None = None


class RetentionSection(BaseModel):
    """Days for which things are kept once they are over, or `always`.

    `journal` are the steps of tasks that have ended, `results` the tasks with request and answer,
    `reviews` with what people decided, `dead_letters` also those that nobody has settled, `events`
    what was sent to other systems, `spend` single amounts, `figures` sums by day. The audit trail
    is one chain: no tenant has days of its own there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    journal: Kept = 90
    results: Kept = 365
    reviews: Kept = 365
    dead_letters: Kept = 180
    events: Kept = 30
    feedback: Kept = 365
    spend: Kept = 400
    figures: Kept = 1095
    audit: Kept = 2555
    tenants: dict[str, TenantRetention] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _journal_ends_first(self) -> "RetentionSection":
        for tenant in (None, *self.tenants):
            journal, results = self.kept("journal", tenant), self.kept("results", tenant)
            if results != "always" and (journal == "always" or journal > results):
                whose = "" if tenant is None else f"tenants.{tenant}: "
                raise ValueError(
                    f"{whose}a task's journal goes with the task: make journal ({journal}) at "
                    f"most as long as results ({results})"
                )
        return self

    def kept(self, kind: Kind, tenant: str | None = None) -> int | Literal["always"]:
        """The days for a tenant; the fleet's own for None and where the tenant has none."""
        own = getattr(self.tenants.get(tenant or ""), kind, None)
        found: int | Literal["always"] = getattr(self, kind) if own is None else own
        return found

    def scopes(self, kind: Kind) -> Iterator[Scope]:
        """Who keeps something of this kind for how long; who keeps it always is in none."""
        own = {
            tenant: kept
            for tenant, section in self.tenants.items()
            if (kept := getattr(section, kind, None)) is not None
        }
        usual = self.kept(kind)
        if usual != "always":
            yield Scope(days=usual, others=tuple(sorted(own)))
        for tenant, kept in sorted(own.items()):
            if kept != "always":
                yield Scope(days=kept, tenant=tenant)

    def longest(self, kind: Kind) -> int | None:
        """After how many days nobody keeps something of this kind; None where somebody always does.

        For what is deleted for all tenants at once.
        """
        kept = [self.kept(kind, tenant) for tenant in (None, *self.tenants)]
        return None if "always" in kept else max(each for each in kept if each != "always")
