"""Tools of a dry run: what was done before is answered from the record, what writes is not done."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from fleet_contracts.errors import PermanentError
from fleet_workers.controller.ports import ToolPort
from fleet_workers.store.journal import Step, StepKind, StepState
from fleet_workers.tools import Tool

PLACEHOLDER: Mapping[str, Any] = {
    "dry_run": True,
    "note": "Not done: this is a rehearsal. Take it as done, with nothing more known about it.",
}
"""What a run gets for a write that it was not let do."""


class WouldDo(BaseModel):
    """A write that a replay would make.

    `repeats` tells that an earlier worker began this very call, and that a replay would repeat it
    with its key, or look first whether it happened.
    """

    model_config = ConfigDict(frozen=True)

    tool: str
    arguments: dict[str, Any]
    repeats: bool


class LedgerTools:
    """Answers calls from recorded steps where tool and arguments are equal.

    A read that is not recorded is made for real; a write is never made: it is noted under
    `would_do` and answered with `PLACEHOLDER`. A recorded write answers one call, a read any
    number of them.
    """

    def __init__(self, tools: ToolPort, recorded: Iterable[Step]) -> None:
        self._tools = tools
        self._recorded = [step for step in recorded if _has_answer(step)]
        self.would_do: list[WouldDo] = []
        self.answered = 0
        self.reads_made = 0

    def call(self, tool: Tool, arguments: dict[str, Any], **circumstances: Any) -> object:
        """Answer a call; `circumstances` are those of the port and go on with a real read.

        Raises:
            PermanentError: The record says that the call failed for good, or a read does now.
            TransientError: A read may succeed later.
        """
        if (step := self._take(tool, arguments)) is not None:
            self.answered += 1
            return _answer(step)
        if tool.effect == "read":
            self.reads_made += 1
            return self._tools.call(tool, arguments, **circumstances)
        self.would_do.append(
            WouldDo(
                tool=tool.name, arguments=arguments, repeats=circumstances["repeat"] is not None
            )
        )
        return dict(PLACEHOLDER)

    def _take(self, tool: Tool, arguments: Mapping[str, Any]) -> Step | None:
        for place, step in enumerate(self._recorded):
            if step.name == tool.name and _are_equal(tool, step.request["arguments"], arguments):
                return step if tool.effect == "read" else self._recorded.pop(place)
        return None


def _has_answer(step: Step) -> bool:
    """In doubt is no answer: whether such a write was done is not known."""
    result = step.result or {}
    return (
        step.kind is StepKind.TOOL
        and step.state is StepState.DONE
        and ("value" in result or "error" in result)
    )


def _answer(step: Step) -> object:
    result = step.result or {}
    if "error" in result:
        raise PermanentError(str(result["error"]))
    return result["value"]


def _are_equal(tool: Tool, earlier: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    try:
        return tool.parse_arguments(earlier) == tool.parse_arguments(arguments)
    except ValueError:  # the release on trial takes other arguments than the recorded one
        return False
