"""The parcels agent in process: its release, and a run of it after a script."""

from pathlib import Path
from typing import Any

from fleet_workers.agents.release import load_release
from fleet_workers.testing import AgentRun, Reply, ScriptedModel, run_agent

AGENT = Path(__file__).parent / "agents" / "parcels"
RELEASE = load_release(AGENT)
TRACKED = {"status": "in Lyon", "price_usd": "40.00"}
TEXT = "Where is ord_7? If it is lost, refund me 40 dollars, 50 or 50.01."


def run(*script: Reply, tools: dict[str, Any] | None = None, **options: Any) -> AgentRun:
    given_tools = {"track_parcel": TRACKED} if tools is None else tools
    return run_agent(
        RELEASE, TEXT, model=ScriptedModel(script), tools=given_tools, customer="cus_1", **options
    )
