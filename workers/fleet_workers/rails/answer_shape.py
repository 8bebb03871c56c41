"""Finds what no answer to a customer may look like: empty, endless, or the machine's own markup."""

import re
from collections.abc import Iterable
from typing import Final

from fleet_workers.rails.normalise import normalise
from fleet_workers.rails.personal_data import holds_placeholder

MAX_ANSWER_CHARACTERS: Final = 8_000
"""Three times the longest of 4,514 replies of a help desk: beyond it a model repeats itself."""

_MARKUP: Final = re.compile(
    r"<\|[\w/ -]{1,40}\|>|</?(?:tool_call|tool_response|function_calls?|invoke|thinking|think"
    r"|scratchpad|system|assistant)\b[^<>]{0,80}>|<function=|\[/?INST\]|<</?SYS>>|\[TOOL_CALLS\]"
    r"|^\s*(?:system|assistant|human)\s*:|^#{2,} ?(?:instruction|response|system)\b",
    re.IGNORECASE | re.MULTILINE,
)
_CALL: Final = re.compile(
    r"\{\s*[\"'](?:name|function|tool|tool_name|action)[\"']\s*:\s*(?:[\"'][\w.-]+[\"']\s*,\s*"
    r"[\"'](?:arguments|parameters|args|input|action_input)[\"']\s*:|\{)"
    r"|[\"'](?:tool_calls|function_call|tool_use)[\"']\s*:"
    r"|[\"']confidence[\"']\s*:\s*[\d.]",
    re.IGNORECASE,
)
_TEMPLATE: Final = re.compile(r"\{\{\s*[^{}]{1,60}\}\}|\{%[^{}]{1,60}%\}")


def shape_faults(text: str, *, tools: Iterable[str] = (), known: Iterable[str] = ()) -> list[str]:
    """What is wrong with an answer's form, each in words that a model can act on.

    `tools` are names whose calls may not stand in it. A template that stands in `known`, as in a
    help article about templates, is no fault.
    """
    if not text.strip():
        return ["it is empty"]
    faults = []
    if len(text) > MAX_ANSWER_CHARACTERS:
        faults.append(f"it has {len(text):,} characters, and {MAX_ANSWER_CHARACTERS:,} are allowed")
    faults += [f"it holds {hidden}" for hidden in normalise(text).hidden]
    if _MARKUP.search(text):
        faults.append("it holds the markup of a conversation with a model")
    if _CALL.search(text) or _names_call(text, tools):
        faults.append("it holds a call of a tool as text")
    if holds_placeholder(text):
        faults.append("it holds a placeholder that stands for nothing")
    if any(not _stands_in(each, known) for each in _TEMPLATE.findall(text)):
        faults.append("it holds a template that was not filled in")
    return faults


def _names_call(text: str, tools: Iterable[str]) -> bool:
    """Whether the text holds `tool_name(`; a name of one word may be an ordinary one."""
    return any(
        re.search(rf"(?<!\w){re.escape(name)}\s*\(\s*(?:[\w\"'{{]|\))", text)
        for name in tools
        if "_" in name
    )


def _stands_in(part: str, known: Iterable[str]) -> bool:
    return any(part in text for text in known)
