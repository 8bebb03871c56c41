"""What agents are installed: `GET /v1/agents`."""

from decimal import Decimal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from fleet_workers.agents import AgentCatalogue, AgentRelease
from fleet_workers.agents.manifest import ApprovalRule, Limits
from fleet_workers.tools import Tool
from fleet_workers.tools.declaration import Effect, RepeatSafety, Stakes
from fleet_workers.web.access import TaskReader
from fleet_workers.web.problems import documented
from fleet_workers.web.resources import Resources

router = APIRouter(prefix="/v1/agents", tags=["agents"])


class ApprovalView(BaseModel):
    """When a person must approve a call: always, or where `argument` is over `above`."""

    model_config = ConfigDict(frozen=True)

    argument: str | None
    above: Decimal | None


class ToolView(BaseModel):
    """A tool as its agent may use it. `approval` is null where nobody needs to approve."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    effect: Effect
    repeat: RepeatSafety
    stakes: Stakes
    timeout_seconds: float
    approval: ApprovalView | None


class AgentView(BaseModel):
    """An installed agent in its live release."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    description: str
    release: str
    prompt: str
    tier: str
    review_below: float
    handles: tuple[str, ...]
    never: tuple[str, ...]
    limits: Limits
    tools: tuple[ToolView, ...]


class AgentList(BaseModel):
    """Agents by name."""

    model_config = ConfigDict(frozen=True)

    agents: list[AgentView]


@router.get("", responses=documented())
def list_agents(resources: Resources, _: TaskReader) -> AgentList:
    """The installed agents: what each handles, must never do, and with which tools."""
    return AgentList(agents=agent_views(resources.catalogue))


def agent_views(catalogue: AgentCatalogue) -> list[AgentView]:
    """All agents in alphabetical order."""
    return [_agent_view(catalogue.get(name)) for name in catalogue.names]


def _agent_view(release: AgentRelease) -> AgentView:
    manifest = release.manifest
    return AgentView(
        name=release.name,
        title=manifest.title,
        description=manifest.description,
        release=release.id,
        prompt=manifest.prompt,
        tier=manifest.tier,
        review_below=manifest.review_below,
        handles=manifest.scope.handles,
        never=manifest.scope.never,
        limits=manifest.limits,
        tools=tuple(_tool_view(tool, manifest.approvals.get(tool.name)) for tool in release.tools),
    )


def _tool_view(tool: Tool, rule: ApprovalRule | None) -> ToolView:
    return ToolView(
        name=tool.name,
        description=tool.description,
        effect=tool.effect,
        repeat=tool.repeat,
        stakes=tool.stakes,
        timeout_seconds=tool.timeout.total_seconds(),
        approval=_approval_view(tool, rule),
    )


def _approval_view(tool: Tool, rule: ApprovalRule | None) -> ApprovalView | None:
    if rule is not None and rule.argument is not None:
        return ApprovalView(argument=rule.argument, above=rule.above)
    if rule is not None or tool.stakes == "high":
        return ApprovalView(argument=None, above=None)
    return None
