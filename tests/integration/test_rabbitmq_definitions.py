"""The deployed definitions in a RabbitMQ of a test's own: pools agree, and Flower shows queues."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from kombu import Connection

from fleet_contracts import topology
from fleet_workers.agents import load_catalogue
from fleet_workers.broker.queues import agent_queue, dead_queue, review_queue
from fleet_workers.broker.rabbitmq import connect
from support.bench import until
from support.fleet_processes import running_fleet
from support.rabbitmq_node import RabbitNode, running_node
from support.stacks import Stack

AGENTS = Path(__file__).parents[1] / "support/agents"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    with running_node(tmp_path_factory.mktemp("rabbitmq")) as opened:
        yield opened


def test_every_queue_is_there_as_pools_declare_it(node: RabbitNode) -> None:
    agents = ("auto", *load_catalogue().names)
    wanted = [queue(agent) for agent in agents for queue in (agent_queue, dead_queue)]
    wanted.append(review_queue())
    told = {each.name for each in wanted} | {topology.INTAKE_QUEUE, topology.INTAKE_DEAD_QUEUE}
    # A node answers before it has taken all of its definitions.
    until(lambda: told <= _queues(node), what=f"the queues {told}")
    with Connection(node.broker_url) as connection:
        for queue in wanted:
            queue(connection.default_channel).declare()  # refused, were an argument another
    with connect(node.broker_url, timeout_seconds=10) as janitor:
        channel = janitor.channel()
        for name, arguments in (
            (topology.INTAKE_QUEUE, topology.intake_queue_arguments()),
            (topology.INTAKE_DEAD_QUEUE, topology.dead_queue_arguments()),
        ):
            channel.queue_declare(name, durable=True, arguments=arguments)
        channel.exchange_declare(topology.EVENTS_EXCHANGE, "topic", passive=True)


def _queues(node: RabbitNode) -> set[str]:
    return {each["name"] for each in httpx2.get(f"{node.api_url}queues").json()}


def test_flower_shows_the_queues_through_the_management_api(
    node: RabbitNode, rabbitmq_stack: Stack, tmp_path: Path
) -> None:
    stack = replace(rabbitmq_stack, broker_url=node.broker_url)
    environment = {"FLEET_AGENTS_PATH": str(AGENTS), "PARCELS_URL": "http://127.0.0.1:9"}
    with running_fleet(stack, tmp_path / "fleet", environment) as fleet:
        fleet.start_worker("parcels", "auto", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
        url = fleet.start_flower(user="a", password="b", FLOWER_BROKER_API=node.api_url)
        fleet.wait_ready()
        with httpx2.Client(base_url=url, auth=("a", "b"), timeout=20) as flower:
            until(
                lambda: flower.get("/api/workers", params={"refresh": "true"}).json(),
                what="the worker in Flower",
            )
            page = until(
                lambda: "agent.parcels" in (text := flower.get("/broker").text) and text,
                what="the queue in Flower",
            )
    assert "agent.auto" in page
    password = node.api_url.partition("@")[0].rpartition(":")[2]
    assert password not in page


def test_the_broker_refuses_messages_before_its_disk_is_full(node: RabbitNode) -> None:
    shown = until(
        lambda: (
            (queue := httpx2.get(f"{node.api_url}queues/%2F/agent.billing").json()).get("policy")
            and queue
        ),
        what="the policy on the queue",
    )
    assert shown["policy"] == "waiting"
    assert shown["effective_policy_definition"]["max-length-bytes"] > 0
    dead = httpx2.get(f"{node.api_url}queues/%2F/agent.billing.dead").json()
    assert not dead.get("policy")
