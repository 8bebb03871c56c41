"""Tells from an error what failed: a tool, a model, or nobody knows."""

import re
from collections.abc import Sequence

_NAMED = re.compile(r"^(tool|model) (\S+)")  # as breakers name what they guard
_TOOL = re.compile(r"^([a-z_][a-z0-9_]*)(?::| fails? for now| failed\b| returned )")
_MODEL = re.compile(r"^(\S+) at https?://")
_ENDPOINT = re.compile(r"^(https?://\S+) (?:refuses|has no model|asks for money)")
_REFUSED = re.compile(r"^(\S+) refused the request")


def subject_of(code: str, error: str, broken_tools: Sequence[str]) -> str:
    """`tool NAME`, `model NAME`, `model at URL`, or empty.

    `broken_tools` are those of the task's calls that did not end well; `code` is the error's class.
    """
    if found := _NAMED.match(error):
        return f"{found[1]} {found[2].rstrip('.,:')}"
    if found := _MODEL.match(error) or _REFUSED.match(error):
        return f"model {found[1]}"
    if found := _ENDPOINT.match(error):
        return f"model at {found[1]}"
    if found := _TOOL.match(error):
        return f"tool {found[1]}"
    if code in ("in_doubt", "tool_away") and broken_tools:
        return f"tool {broken_tools[-1]}"
    return ""
