"""What models and tools may say: NUL, half characters, no numbers, megabytes. All goes on."""

import json
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from fleet_contracts.states import TaskState
from fleet_workers.review.decisions import Ruling, decide
from fleet_workers.testing import Reply, ScriptedModel, answer, call, say
from fleet_workers.testing.replies import Says
from fleet_workers.tools import CONTENT, Tool, ToolContext, tool
from unit.machine.ground import Message, World

NASTY = {"NUL": "a\x00b", "lone surrogate": "a\ud800b", "pair": "\ud83d\ude00"}
NUMBERS = {"very large": 1e22, "minus nothing": -0.0, "whole": 40.0, "small": 1e-7}
BIG = "x" * 50_000_000


class Office:
    """Tools that say what they were told to, or that keep what they were told."""

    def __init__(self) -> None:
        self.says: Any = "fine"
        self.heard: list[str] = []

    def tools(self) -> list[Tool]:
        @tool(effect="read", trusted=True)
        def look(context: ToolContext) -> Any:
            """Look something up."""
            return self.says

        @tool(effect="write", repeat="none", trusted=True)
        def tell(context: ToolContext, text: Annotated[str, CONTENT]) -> Any:
            """Tell somebody."""
            self.heard.append(text)
            return self.says

        @tool(effect="write", repeat="none", stakes="high", trusted=True)
        def sign(context: ToolContext, text: Annotated[str | float, CONTENT]) -> Any:
            """Sign for something."""
            self.heard.append(str(text))
            return self.says

        @tool(effect="write", repeat="none", trusted=True)
        def weigh(context: ToolContext, kilograms: Annotated[float, CONTENT]) -> str:
            """Weigh something."""
            self.heard.append(str(kilograms))
            return "weighed"

        return [look, tell, sign, weigh]


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def worlds(engine: Engine, office: Office) -> Iterator[Any]:
    opened: list[World] = []

    def open_world(*script: Reply) -> World:
        opened.append(World(engine, model=ScriptedModel(script), tools=office.tools()))
        return opened[-1]

    yield open_world
    for world in opened:
        world.close()


def outcome(world: World, **fields: Any) -> dict[str, Any]:
    """Submit one task and work it off; gives its outcome, with its state."""
    task_id = world.submit(**fields)
    world.settle()
    row = world.task(task_id)
    assert row is not None
    return {**(row.outcome or {}), "state": row.state}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_a_tool_may_return_any_text(worlds: Any, office: Office, text: str) -> None:
    office.says = {"note": text, text: 1}
    world = worlds(call("look"), call("tell", text="so"), answer("It is done."))
    assert outcome(world)["state"] == TaskState.SUCCEEDED
    assert office.heard == ["so"]


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("reply_to", [None, "reply.here"])
def test_a_model_may_say_any_text(worlds: Any, text: str, reply_to: str | None) -> None:
    for last in (say(f"Yes {text}"), answer(f"Yes {text}")):
        found = outcome(worlds(call("look"), last), reply_to=reply_to, session_id="s")
        assert found["state"] == TaskState.IN_REVIEW or found["answer"].startswith("Yes ")


@pytest.mark.parametrize("text", [*NASTY.values(), *NUMBERS.values()], ids=[*NASTY, *NUMBERS])
@pytest.mark.parametrize("is_low", [False, True])
def test_a_person_can_approve_any_argument(
    worlds: Any, office: Office, text: str | float, is_low: bool
) -> None:
    # Given a call that needs approval, after a tool that returned the same text
    office.says = text
    world = worlds(
        call("look"),
        Says(calls=(("sign", json.dumps({"text": text})),)),
        answer(f"Signed {text}.", confidence=0.1 if is_low else 0.95),
    )
    task_id = world.submit()
    world.settle()
    # When a person approves whatever is asked, I expect it to be done once, and to end
    for _ in range(2 if is_low else 1):
        (review,) = [each for each in world.rows("reviews") if each.state == "waiting"]
        world.change(
            lambda connection, review_id=review.id: decide(
                connection, review_id, tenant=None, ruling=Ruling.APPROVE, decided_by="p"
            )
        )
        world.settle()
    row = world.task(task_id)
    assert row is not None
    assert row.state == TaskState.SUCCEEDED
    assert len(office.heard) == 1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_an_argument_that_is_no_number_is_mended_by_the_model(
    worlds: Any, office: Office, number: str
) -> None:
    world = worlds(
        Says(calls=(("weigh", f'{{"kilograms": {number}}}'),)),
        call("weigh", kilograms=2),
        answer("It is done."),
    )
    assert outcome(world)["state"] == TaskState.SUCCEEDED
    assert office.heard == ["2.0"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_tool_may_return_what_is_no_number(worlds: Any, office: Office, number: float) -> None:
    office.says = {"kilograms": number}
    world = worlds(call("look"), call("tell", text="so"), answer("It is done."))
    assert outcome(world)["state"] == TaskState.SUCCEEDED
    assert office.heard == ["so"]


def test_arguments_nested_without_end_are_an_invalid_plan(worlds: Any) -> None:
    nested = f'{{"text": {"[" * 100_000}'
    world = worlds(Says(calls=(("tell", nested),)), answer("It is done."))
    assert outcome(world)["state"] in {TaskState.SUCCEEDED, TaskState.IN_REVIEW}


def test_results_of_50_megabytes_are_cut_off_and_done_once(worlds: Any, office: Office) -> None:
    office.says = BIG
    world = worlds(call("look"), call("tell", text="so"), answer("It is done."))
    assert outcome(world)["state"] == TaskState.SUCCEEDED
    assert office.heard == ["so"]


def test_a_reply_of_5_megabytes_is_kept(worlds: Any) -> None:
    world = worlds(call("look"), say(BIG[:5_000_000]))
    assert outcome(world)["state"] in {TaskState.SUCCEEDED, TaskState.IN_REVIEW}


@pytest.mark.parametrize("trace", [{"a": 1}, 5, ["x"], "\ud800", "a\x00b", "x" * 100_000, ""])
@pytest.mark.parametrize("is_session", [False, True])
def test_a_trace_header_of_any_kind_does_no_harm(
    worlds: Any, trace: object, is_session: bool
) -> None:
    world = worlds(answer("It is done."))
    payload = {"tenant": "acme", "agent": "clerk", "input": "hello", "id": str(uuid4())}
    if is_session:
        payload["session_id"] = "s"
    world.deliver(Message(payload=payload, stored=False, traceparent=trace), ())
    assert [each.state for each in world.all_tasks()] == [TaskState.SUCCEEDED]
