"""A help desk that nobody here wrote: its 74 golden runs through RabbitMQ and real workers."""

import contextlib
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fleet_contracts.states import TaskState
from fleet_workers.testing import Reply, ScriptedModel, answer, call, hand_over
from support.fleet_processes import running_fleet
from support.json_service import json_service
from support.retail_shop import Refused, RetailShop, RetailStreet
from support.stacks import Stack

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "tau2_retail"
AGENTS = ROOT / "tests" / "retail_agent"
TO_A_PERSON = "transfer_to_human_agents"
TO_APPROVE = {"22": "modify_user_address"}
"""The customer says New York, the golden call NY, which no record holds: a person is asked."""
_CALLS_BEFORE_KILL = 120  # of about 360: both workers are in the thick of it

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"{DATA} is missing: it holds the retail tasks and their database."
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "a worker killed"])
def test_all_golden_runs_leave_the_database_that_direct_replay_leaves(
    rabbitmq_stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str], killed: bool
) -> None:
    database = json.loads((DATA / "db.json").read_text())
    stories = json.loads((DATA / "tasks_train.json").read_text())
    assert len(stories) == 74
    street = RetailStreet(database)
    model = ScriptedModel(
        scripts={name_of(each): script_of(each, database) for each in stories}, key=whom
    )
    with json_service(street.answer) as shop_url, model.serve() as server:
        environment = {
            "FLEET_AGENTS_PATH": str(AGENTS),
            "RETAIL_URL": shop_url,
            "OPENAI_BASE_URL": server.url,
        }
        with running_fleet(rabbitmq_stack, tmp_path, environment) as fleet:
            victim = fleet.start_worker("retail", slots=10)
            fleet.start_worker("retail", slots=10)
            fleet.start_web()
            fleet.start_janitor()
            fleet.wait_ready()
            assert victim.is_alive
            begun = time.monotonic()
            if killed:
                street.after(_CALLS_BEFORE_KILL, victim.kill)
            done = work_all(fleet, stories)
            seconds = time.monotonic() - begun
            assert victim.is_alive is not killed
        model_calls = server.calls
    states = Counter(str(view.state) for view in done.values())
    with capsys.disabled():
        print(  # noqa: T201 the figures are for people
            f"\nretail{', a worker killed' * killed}: {len(stories)} tasks in {seconds:.1f} s, "
            f"{model_calls} model calls, {dict(states)}"
        )
    for story in stories:
        ended = done[name_of(story)]
        assert ended.state is expected_state(story), (story["id"], ended)
        assert street.shop(name_of(story)).database() == replayed(database, story), story["id"]
    assert database == json.loads((DATA / "db.json").read_text())


def work_all(fleet: Any, stories: list[dict[str, Any]]) -> dict[str, Any]:
    with fleet.client() as client:
        items = [
            {"text": text_of(each), "agent": "retail", "customer": name_of(each)}
            for each in stories
        ]
        handles = [result.handle for result in client.submit_many(items)]
        assert all(handles)
        return {
            name_of(story): handle.wait(timeout=120)
            for story, handle in zip(stories, handles, strict=True)
        }


def name_of(story: dict[str, Any]) -> str:
    return f"story-{story['id']}"


def text_of(story: dict[str, Any]) -> str:
    told = story["user_scenario"]["instructions"]
    return f"{told['reason_for_call']}\n{told['known_info'] or ''}"


def golden_calls(story: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    actions = story["evaluation_criteria"]["actions"] or []
    return [(each["name"], each["arguments"]) for each in actions]


def script_of(story: dict[str, Any], database: dict[str, Any]) -> list[Reply]:
    """The golden calls one by one, after the look-ups that they rest on.

    The tool that calls a person is our `hand_over`.
    """
    lines: list[Reply] = look_ups(golden_calls(story), database)
    for name, arguments in golden_calls(story):
        if name == TO_A_PERSON:
            return [*lines, hand_over(arguments["summary"])]
        lines.append(call(name, **arguments))
    return [*lines, answer("All is done as you wished.")]


def look_ups(calls: list[tuple[str, dict[str, Any]]], database: dict[str, Any]) -> list[Reply]:
    """What the golden calls take for granted: the customer, the orders, the items on offer."""
    orders = [
        database["orders"][c["order_id"]]
        for _, c in calls
        if c.get("order_id") in database["orders"]
    ]
    users = {order["user_id"] for order in orders} | {
        c["user_id"] for _, c in calls if "user_id" in c
    }
    for user in sorted(users & database["users"].keys()):
        orders += [database["orders"][each] for each in database["users"][user]["orders"]]
    wanted = {item for _, c in calls for item in c.get("new_item_ids", ())}
    products = [
        each["product_id"]
        for each in database["products"].values()
        if wanted & each["variants"].keys()
    ]
    return [
        *[call("get_user_details", user_id=each) for each in sorted(users)],
        *[
            call("get_order_details", order_id=each)
            for each in sorted({o["order_id"] for o in orders})
        ],
        *[call("get_product_details", product_id=each) for each in products],
    ]


def whom(messages: list[dict[str, Any]]) -> str:
    found = re.search(r"The customer is (story-\w+)\.", messages[0]["content"])
    return found[1] if found else ""


def expected_state(story: dict[str, Any]) -> TaskState:
    handed = any(name == TO_A_PERSON for name, _ in golden_calls(story))
    handed = handed or story["id"] in TO_APPROVE
    return TaskState.IN_REVIEW if handed else TaskState.SUCCEEDED


def replayed(database: dict[str, Any], story: dict[str, Any]) -> dict[str, Any]:
    shop = RetailShop(database)
    for name, arguments in golden_calls(story):
        if name in {TO_A_PERSON, TO_APPROVE.get(story["id"])}:
            break
        with contextlib.suppress(Refused):  # some golden calls look for what is not there
            shop.do(name, arguments)
    return shop.database()
