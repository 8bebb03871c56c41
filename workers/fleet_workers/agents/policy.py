"""The version of an agent's policy: what an approval is bound to beside the action itself."""

import json
from hashlib import sha256

from fleet_workers.agents.release import AgentRelease
from fleet_workers.tools import Tool


def policy_version(release: AgentRelease) -> str:
    """A hash over all that decides what an agent may do; a new prompt alone leaves it as it is."""
    manifest = release.manifest
    content = {
        "approvals": manifest.model_dump(mode="json")["approvals"],
        "scopes": sorted(manifest.scopes),
        "spend": manifest.model_dump(mode="json")["spend"],
        "tools": [_promises(each) for each in release.tools],
    }
    text = json.dumps(content, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:12]


def _promises(tool: Tool) -> dict[str, object]:
    return {
        "name": tool.name,
        "effect": tool.effect,
        "repeat": tool.repeat,
        "stakes": tool.stakes,
        "trusted": tool.trusted,
        "prose": tool.prose,
        "sensitive": tool.sensitive,
        "open_world": tool.open_world,
        "scopes": tool.scopes,
        "money": tool.money,
        "customer_argument": tool.customer_argument,
        "asked_by": tool.asked_by,
        "content": sorted(tool.content),
        "free": {name: sorted(map(str, values)) for name, values in tool.free.items()},
        "schema": tool.schema(),
    }
