"""Runs of the parcels agent with a script for each tier."""

from dataclasses import replace
from typing import Any

from fleet_contracts.envelope import build_envelope
from fleet_workers.agents.tiers import TierSection
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.store.journal import StepKind
from fleet_workers.testing import AgentRun, Reply, ScriptedModel, answer, call, run_agent
from support.parcels import RELEASE, TEXT, TRACKED

MODELS = {"small": "s", "medium": "m", "large": "l"}
TASK = build_envelope(tenant="acme", agent="parcels", input="x").id
TRACK = call("track_parcel", order_id="ord_7")
REFUND = call("refund_order", order_id="ord_7", amount_usd="40")
UNSURE = answer("Probably in Lyon.", confidence=0.4)
SURE = answer("It is in Lyon.", confidence=0.9)


class Witness:
    """A model that keeps what it was asked."""

    def __init__(self, script: list[Reply]) -> None:
        self._script = ScriptedModel(script)
        self.asked: list[ChatRequest] = []

    def complete(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        return self._script.complete(request)


def release_of(**tiers: Any) -> Any:
    first = tiers.pop("tier", "small")
    update = {"tiers": TierSection(**tiers), "tier": first}
    return replace(RELEASE, manifest=RELEASE.manifest.model_copy(update=update))


def climb(
    small: list[Reply],
    medium: list[Reply] | None = None,
    large: list[Reply] | None = None,
    *,
    release: Any = RELEASE,
    text: str = TEXT,
    **options: Any,
) -> AgentRun:
    scripts = {"small": small, "medium": medium, "large": large}
    models = {tier: ScriptedModel(script) for tier, script in scripts.items() if script is not None}
    tools = {"track_parcel": TRACKED, "refund_order": {"ok": True}}
    given = {"tools": tools, "customer": "cus_1", **options}
    return run_agent(release, text, model=models, **given)


def tiers(found: AgentRun) -> list[str]:
    return [step.request["tier"] for step in found.steps if step.kind is StepKind.PLAN]
