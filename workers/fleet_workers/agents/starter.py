"""Writes the folder of a new agent: the smallest one that runs and can be tested."""

import re
from pathlib import Path

from fleet_contracts.errors import InvalidInput

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

_MANIFEST = """name = "{name}"
title = "{title}"
description = "Say in a sentence what this agent is for."
prompt = "v1"
tools = ["look_up_time"]
# Environment variables that the tools may see; no others are shown to them.
environment = []
tier = "small"
# An answer with a lower confidence goes to a person.
review_below = 0.7

[scope]
handles = ["Questions about the current time"]
never = ["Anything that is not about the time"]

[limits]
model_calls = 8
tool_calls = 8
"""

_PROMPT = """You answer customers' questions about the current time.

- Look the time up; never guess it.
- If the request is about anything else, call hand_over.
"""

_TOOLS = '''"""What this agent can look up and do."""

from datetime import UTC, datetime

from fleet_workers.tools import ToolContext, tool


@tool(effect="read")
def look_up_time(context: ToolContext) -> dict[str, str]:
    """Look up the current time. Use it when the customer asks what time or day it is."""
    return {"time_utc": datetime.now(UTC).isoformat(timespec="seconds")}
'''

_GOLDEN = """{"text": "What time is it?", "tools": ["look_up_time"], "outcome": "answered"}
{"text": "Which day is it today?", "tools": ["look_up_time"], "outcome": "answered"}
{"text": "Cancel my contract.", "tools": [], "outcome": "review"}
"""


def write_starter(name: str, parent: Path) -> Path:
    """Write `parent/name` and give its path.

    Raises:
        InvalidInput: The name is not one for an agent, or the folder exists.
    """
    if not _NAME.fullmatch(name) or name in {"auto", "dead"}:
        raise InvalidInput(
            f"{name!r} is no name for an agent: use small letters, digits and underscores, "
            "a letter first, and neither auto nor dead."
        )
    folder = parent / name
    if folder.exists():
        raise InvalidInput(f"{folder} exists already: choose another name, or edit it.")
    (folder / "prompts").mkdir(parents=True)
    title = name.replace("_", " ").capitalize()
    files = {
        "agent.toml": _MANIFEST.format(name=name, title=title),
        "prompts/v1.md": _PROMPT,
        "tools.py": _TOOLS,
        "golden.jsonl": _GOLDEN,
    }
    for path, text in files.items():
        (folder / path).write_text(text, encoding="utf-8")
    return folder
