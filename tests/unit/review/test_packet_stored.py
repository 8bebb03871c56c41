"""A packet on its way: from a worker's run into the store, onto the broker, and through rounds."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import validate
from sqlalchemy import Engine

from fleet_contracts.reviews import ReviewMessage
from fleet_workers.review.binding import Ruling
from fleet_workers.review.decisions import decide
from fleet_workers.review.packet_size import MAX_PACKET_BYTES
from fleet_workers.store import reviews
from fleet_workers.store.outbox import Letter
from fleet_workers.testing import Reply, ScriptedModel, answer, call
from fleet_workers.tools import ToolContext, tool
from support.databases import temporary_store
from unit.machine.ground import World
from unit.machine.process import struck_core


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with temporary_store(connections=10) as engine:
        yield engine


def world_with(engine: Engine, given: Any, *script: Reply) -> World:
    @tool(effect="read", trusted=False)
    def look_up(context: ToolContext) -> Any:
        """Look something up."""
        return given

    @tool(effect="write", repeat="idempotent", stakes="high", trusted=True)
    def pay(context: ToolContext, amount_usd: int) -> dict[str, Any]:
        """Pay."""
        return {"paid": amount_usd}

    return World(engine, model=ScriptedModel(script), tools=[look_up, pay])


HOSTILE: list[Any] = [
    {"a\x00": "\x00\ud800 lone", "\udfff": ["\x00"] * 3},
    ["😀ä\x00" * 200_000],
    [{"row": n, "text": "<script>" * 200} for n in range(5000)],
    {"deep": json.loads("[" * 200 + "]" * 200)},
    {"number": 10**300, "small": 1e-300},
    "\ud83d" * 100_000,
]


@pytest.mark.parametrize("given", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_a_tool_gave_back_the_task_is_parked_with_a_packet_that_can_be_sent(
    engine: Engine, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with struck_core():
        world = world_with(engine, given, call("look_up"), call("pay", amount_usd=7))
        sent: list[Letter] = []
        send = world.broker.send
        monkeypatch.setattr(
            world.broker, "send", lambda letters: (sent.extend(letters), send(letters))
        )
        task_id = world.submit(input="Please pay me 7, or 90, 80, 70.")
        world.settle()
        with world.engine.begin() as connection:
            (item,) = reviews.of_task(connection, task_id)
        bodies = [each.message.body for each in sent if each.message.routing_key == "human.review"]
        (message,) = [ReviewMessage.model_validate_json(each) for each in bodies]
        text = json.dumps(item.packet, ensure_ascii=False)
        assert len(text.encode()) <= MAX_PACKET_BYTES
        assert "\\u0000" not in text
        assert item.packet["action"]["line"] == "Pay (Amount 7.00 USD)"
        assert item.packet["found"][0]["tool"] == "look_up"
        assert message.packet == item.packet
        validate(message.model_dump(mode="json"), ReviewMessage.model_json_schema())
        world.close()


def test_each_round_tells_of_the_rounds_before_it(engine: Engine) -> None:
    # Given an agent that asks for less each time it is refused
    amounts = [90, 80, 70]
    calls = [call("pay", amount_usd=amount) for amount in amounts]
    with struck_core():
        world = world_with(engine, {}, *calls, answer("Done."))
        task_id = world.submit(input="Please pay me 7, or 90, 80, 70.")
        world.settle()
        for place, amount in enumerate(amounts):
            with world.engine.begin() as connection:
                item = next(
                    each for each in reviews.of_task(connection, task_id) if each.state == "waiting"
                )
            told = item.packet["rounds"]
            assert [each["proposed"] for each in told] == [
                f"Pay (Amount {each}.00 USD)" for each in amounts[:place]
            ]
            assert [each["said"] for each in told] == [f"Less than {a}" for a in amounts[:place]]
            assert item.packet["action"]["line"] == f"Pay (Amount {amount}.00 USD)"
            world.change(
                lambda c, item=item, amount=amount: decide(  # type: ignore[misc]
                    c,
                    item.id,
                    tenant=None,
                    ruling=Ruling.REJECT,
                    decided_by="ann",
                    text=f"Less than {amount}",
                )
            )
            world.settle()
        world.close()
