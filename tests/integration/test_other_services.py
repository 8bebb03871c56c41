"""Services in other languages hand in plain JSON and hear what becomes of it.

The programs are those of the how-to pages.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pika
import pytest
from jsonschema import validate
from pika.adapters.blocking_connection import BlockingChannel
from sqlalchemy import text

from fleet_contracts.schemas import json_schema
from support import howto
from support.bench import TRACK_AND_TELL, Bench, script, until
from support.fleet_processes import Fleet, FleetProcess
from support.npm_package import npm_package
from support.parcels_fleet import open_bench
from support.stacks import Stack, open_stack
from support.webhook_receiver import Receiver, webhook_receiver

ROOT = Path(__file__).parents[2]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AGENT = "agent.parcels"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROGRAM_SECONDS = 60
BROKER_SECONDS = 60  # a busy machine shakes hands slowly
pytestmark = pytest.mark.timeout(400)


def program_of(page: str, language: str, holding: str = "") -> str:
    """A program of a how-to page, for the agent here."""
    return howto.program_of(page, language, holding).replace('"billing"', '"parcels"')


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def rabbitmq_stack() -> Iterator[Stack]:
    """One of its own: whoever consumes the intake consumes that of other tests, too."""
    with open_stack("rabbitmq") as stack:
        yield stack


@pytest.fixture(scope="module")
def bench(
    rabbitmq_stack: Stack, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """Web, a worker, and two janitors, which take in and tell."""
    folder = tmp_path_factory.mktemp("services")
    (folder / "desk.toml").write_text(
        f"""
        [[webhooks]]
        name = "shop"
        url = "{receiver.url}"
        secret = "SHOP_SECRET"
        events = ["task.succeeded", "task.dead"]
        agents = ["parcels"]
        at_once = 2
        """
    )
    environment = {
        "FLEET_DESK": str(folder / "desk.toml"),
        "SHOP_SECRET": SECRET,
        "FLEET_EVENTS": "queued,running,succeeded,dead,in_review",
    }
    with open_bench(
        rabbitmq_stack, folder, serves=("parcels",), janitors=2, environment=environment
    ) as opened:
        with amqp(rabbitmq_stack) as channel:
            until(lambda: queue_exists(channel, "fleet.intake"), what="the intake")
        yield opened


@pytest.fixture(scope="module")
def node_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm_package(tmp_path_factory.mktemp("npm"), "amqplib", "2.3.1")


@contextlib.contextmanager
def amqp(stack: Stack) -> Iterator[BlockingChannel]:
    parameters = pika.URLParameters(stack.broker_url)
    parameters.socket_timeout = parameters.stack_timeout = BROKER_SECONDS
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


def ready_messages(channel: BlockingChannel, queue: str) -> int:
    count: int = channel.queue_declare(queue, passive=True).method.message_count
    return count


def queue_exists(channel: BlockingChannel, queue: str) -> bool:
    """Tell it on a channel of its own: one that asks in vain is closed."""
    with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
        channel.connection.channel().queue_declare(queue, passive=True)
        return True
    return False


def put_in(channel: BlockingChannel, body: bytes | dict[str, Any], **properties: Any) -> None:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = pika.BasicProperties(delivery_mode=2, **properties)
    channel.basic_publish("", "fleet.intake", payload, given, mandatory=True)


def take_all(channel: BlockingChannel, queue: str, number: int) -> list[tuple[Any, bytes]]:
    """So many messages of a queue, each with its properties."""

    def take() -> Any:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        return (properties, body) if method else None

    return [until(take, what=f"a message on {queue}") for _ in range(number)]


def rows(stack: Stack, query: str, **values: Any) -> list[Any]:
    with stack.engine.connect() as connection:
        return list(connection.execute(text(query), values))


def node(program: str, node_path: Path, stack: Stack, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ("node", "-e", program, "--", *words),
        env={
            "PATH": os.environ["PATH"],
            "NODE_PATH": str(node_path),
            "FLEET_BROKER_URL": stack.broker_url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_node_service_hands_in_a_task_and_gets_its_answer_and_the_event(
    bench: Bench, node_path: Path
) -> None:
    stack = bench.fleet.stack
    listener = node(program_of("follow-events.md", "js"), node_path, stack)
    try:
        with amqp(stack) as channel:
            until(lambda: queue_exists(channel, "shop.task-events"), what="the listener")
        program = program_of("send-plain-json.md", "js").replace("argv[2]", "argv[1]")
        asker = node(program, node_path, stack, script(bench, *TRACK_AND_TELL))
        said, _ = asker.communicate(timeout=PROGRAM_SECONDS)
        outcome = json.loads(said)
        assert (outcome["kind"], outcome["answer"]) == ("answered", "It is in Lyon.")
        validate(outcome, json_schema("outcome"))
        assert listener.stdout is not None
        kind, subject, event_id = listener.stdout.readline().split()
        assert kind == "fleet.task.succeeded"
        assert event_id.startswith(f"{UUID(subject)}.")
    finally:
        listener.kill()
        listener.communicate()


def test_a_python_service_does_so_with_pika(bench: Bench) -> None:
    done = subprocess.run(
        (
            sys.executable,
            "-c",
            program_of("send-plain-json.md", "python"),
            script(bench, *TRACK_AND_TELL),
        ),
        env={"PATH": os.environ["PATH"], "FLEET_BROKER_URL": bench.fleet.stack.broker_url},
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=True,
    )
    assert done.stdout == "my-7 It is in Lyon.\n"


def test_a_celery_application_that_knows_nothing_of_the_fleet_does_so_too(bench: Bench) -> None:
    stack, task_id = bench.fleet.stack, uuid4()
    program = program_of("submit-tasks.md", "python", "from celery").replace("agent.billing", AGENT)
    task = f'{{"id": "{task_id}", '
    subprocess.run(
        (sys.executable, "-c", program.replace('{"tenant"', f'{task}"tenant"')),
        env={"PATH": os.environ["PATH"], "FLEET_BROKER_URL": stack.broker_url},
        timeout=PROGRAM_SECONDS,
        check=True,
    )
    with_task = "SELECT envelope ->> 'input' FROM tasks WHERE id = :id"
    (found,) = until(lambda: rows(stack, with_task, id=task_id), what="the task")
    assert found[0] == "I was charged twice."


def test_each_state_is_an_event_in_order_with_its_trace_and_without_what_was_said(
    bench: Bench,
) -> None:
    stack, task_id = bench.fleet.stack, uuid4()
    with amqp(stack) as channel:
        channel.exchange_declare("fleet.events", "topic", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "fleet.events", "task.acme.parcels.#")
        words = script(bench, *TRACK_AND_TELL)
        task = {"id": str(task_id), "tenant": "acme", "agent": "parcels", "input": words}
        put_in(channel, task, headers={"traceparent": TRACE})
        found: list[tuple[Any, bytes]] = []
        while len(found) < 3:  # others' tasks are told here, too
            (one,) = take_all(channel, queue, 1)
            found += [one] if str(task_id).encode() in one[1] else []
    events = [json.loads(body) for _, body in found]
    assert [each["type"].rpartition(".")[2] for each in events] == [
        "queued",
        "running",
        "succeeded",
    ]
    assert [int(each["sequence"]) for each in events] == sorted(
        int(each["sequence"]) for each in events
    )
    for (properties, _), event in zip(found, events, strict=True):
        validate(event, json_schema("task-event"))
        assert (event["subject"], event["data"]["task"]) == (str(task_id), None)
        assert event["traceparent"].startswith(TRACE[:35])
        assert properties.message_id == event["id"]
        assert properties.content_type == "application/cloudevents+json; charset=utf-8"
        assert "Lyon" not in json.dumps(event)


def test_a_result_is_posted_signed_with_its_answer(bench: Bench, receiver: Receiver) -> None:
    with bench.fleet.client() as client:
        task = client.submit(script(bench, *TRACK_AND_TELL), agent="parcels")

    def hook() -> Any:
        return next(
            (each for each in receiver.hooks if each.event["data"]["task_id"] == str(task.id)), None
        )

    found = until(hook, what="the webhook")
    validate(found.event, json_schema("webhook"))
    assert found.event["type"] == "task.succeeded"
    assert found.event["data"]["task"]["outcome"]["answer"] == "It is in Lyon."
    assert found.headers["webhook-signature"].startswith("v1,")


def test_curl_follows_a_task_over_a_cut_and_a_web_process_that_is_killed(bench: Bench) -> None:
    fleet = bench.fleet
    key = f"Authorization: Bearer {fleet.stack.api_key}"
    body = json.dumps({"input": script(bench, *TRACK_AND_TELL), "agent": "parcels"})

    def curl(*words: str) -> str:
        done = subprocess.run(
            ("curl", "-sN", "-H", key, *words),
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS,
            check=True,
        )
        return done.stdout

    taken = json.loads(
        curl(f"{fleet.api_url}/v1/tasks", "-H", "Content-Type: application/json", "-d", body)
    )
    whole = curl(f"{fleet.api_url}{taken['status_url']}/events")
    cut = whole.index("event: step")
    last_id = re.findall(r"^id: (.*)$", whole[:cut], re.MULTILINE)[-1]
    assert whole.count('"state":"succeeded"') == 1
    web = next(each for each in fleet.processes if each.name.endswith("web"))
    web.kill()
    fleet.start_web()
    fleet.wait_ready()
    rest = curl(f"{fleet.api_url}{taken['status_url']}/events", "-H", f"Last-Event-ID: {last_id}")
    assert len(told_in(rest)) > 5
    assert told_in(rest) == told_in(whole[cut:])


def told_in(stream: str) -> list[str]:
    """What a stream tells but for the beginnings of steps: who comes later hears of their ends."""
    told = re.findall(r"^data: (.*)$", stream, re.MULTILINE)
    return [each for each in told if '"state":"started"' not in each]


GARBAGE: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "invalid_envelope", "not JSON"),
    "binary": (b"\x80\x04\x95\xff\x00", "invalid_envelope", "not JSON in UTF-8"),
    "cut": (b'{"tenant": "acme"', "invalid_envelope", "send one JSON object"),
    "list": (b"[1]", "invalid_envelope", "a JSON list"),
    "number": (b"7", "invalid_envelope", "a JSON int"),
    "empty": (b"{}", "invalid_envelope", "tenant is missing"),
    "deep": (b'{"data":' + b"[" * 100_000, "invalid_envelope", "not JSON"),
    "large": (b'{"input":"' + b"x" * 300_000 + b'"}', "invalid_envelope", "the limit is 262,144"),
    "types": (
        b'{"tenant":"acme","input":7,"data":[],"priority":"now"}',
        "invalid_envelope",
        "input: ",
    ),
    "infinite": (
        b'{"tenant":"acme","input":"x","data":{"n":1e999}}',
        "invalid_envelope",
        "finite numbers",
    ),
    "digits": (
        b'{"tenant":"acme","input":"x","data":{"n":' + b"9" * 5000 + b"}}",
        "invalid_envelope",
        "not JSON",
    ),
    "control": (
        b'{"tenant":"acme","input":"a\\u0000b"}',
        "invalid_envelope",
        "control character U+0000",
    ),
    "surrogate": (b'{"tenant":"acme","input":"\\ud800"}', "invalid_envelope", "unicode"),
    "field": (
        b'{"tenant":"acme","input":"x","colour":"red"}',
        "invalid_envelope",
        "colour is not a field",
    ),
    "time": (
        b'{"tenant":"acme","input":"x","deadline":"0001-01-01T00:00:00Z","data":{"a":1}}',
        "",
        "",
    ),
    "tenant": (b'{"tenant":"nobody","input":"x"}', "unknown_tenant", "'nobody'"),
    "agent": (
        b'{"tenant":"acme","agent":"nobody","input":"x"}',
        "unknown_agent",
        "nobody",
    ),
}


def test_what_is_no_task_is_put_aside_with_the_reason_and_what_follows_goes_on(
    bench: Bench,
) -> None:
    stack = bench.fleet.stack
    refused = {name: case for name, case in GARBAGE.items() if case[1]}
    counted_before = counted_refusals(bench.fleet)
    with amqp(stack) as channel:
        for name, (body, _, _) in GARBAGE.items():
            put_in(channel, body, headers={"name": name, "x-mine": "yes"}, app_id="shop")
        good = uuid4()
        words = script(bench, *TRACK_AND_TELL)
        put_in(channel, {"id": str(good), "tenant": "acme", "agent": "parcels", "input": words})
        put_in(channel, {"id": str(good), "tenant": "acme", "agent": "parcels", "input": "Other"})
        put_in(channel, b"{}", content_encoding="gzip")
        found = take_all(channel, "fleet.intake.dead", len(refused) + 2)
        until(lambda: rows(stack, "SELECT 1 FROM tasks WHERE id = :id", id=good))
        assert channel.queue_declare("fleet.intake.dead", passive=True).method.message_count == 0
    by_name = {each.headers.get("name"): (each, body) for each, body in found}
    for name, (body, code, why) in refused.items():
        properties, came = by_name[name]
        assert came == body
        assert properties.headers["fleet-reason-code"] == code
        assert why in properties.headers["fleet-reason"], name
        assert (properties.headers["x-mine"], properties.app_id) == ("yes", "shop")
    codes = Counter(each.headers["fleet-reason-code"] for each, _ in found)
    assert codes["conflict"] == 1
    assert sum("gzip" in each.headers["fleet-reason"] for each, _ in found) == 1
    assert counted_refusals(bench.fleet) - counted_before == codes


def counted_refusals(fleet: Fleet) -> Counter[str]:
    """What the janitors have counted, by reason."""
    counted: Counter[str] = Counter()
    for janitor in janitors(fleet):
        told = json.loads((fleet.metrics_folder / f"{janitor.ready_file.name}.json").read_text())
        page = httpx2.get(f"http://{told[0]['targets'][0]}/metrics", timeout=10).text
        for reason, number in re.findall(
            r'^fleet_intake_refused_total{reason="(\w+)"} (\S+)$', page, re.MULTILINE
        ):
            counted[reason] += int(float(number))
    return counted


def janitors(fleet: Fleet) -> list[FleetProcess]:
    return [each for each in fleet.processes if each.name.endswith("janitor") and each.is_alive]


@pytest.mark.slow
def test_killed_janitors_lose_nothing_take_nothing_twice_and_leave_no_event_untold(
    bench: Bench,
) -> None:
    """Not even messages that name nothing by which they could be known."""
    fleet, number = bench.fleet, 1000
    run = uuid4().hex
    mine = "SELECT count(*), count(DISTINCT envelope ->> 'input') FROM tasks WHERE customer = :run"
    with amqp(fleet.stack) as channel:
        channel.exchange_declare("fleet.events", "topic", durable=True)
        events = channel.queue_declare("events", durable=True).method.queue
        channel.queue_bind(events, "fleet.events", "task.acme.billing.queued")
        for place in range(number):
            task = {"tenant": "acme", "agent": "billing", "customer": run, "input": f"No {place}"}
            put_in(channel, task)
    for share in (0.2, 0.6):
        until(
            lambda share=share: rows(fleet.stack, mine, run=run)[0][0] >= number * share,
            seconds=120,
        )
        for each in janitors(fleet):
            each.kill()
        fleet.start_janitor()
        fleet.start_janitor()
    until(lambda: rows(fleet.stack, mine, run=run)[0][1] == number, seconds=120)
    with amqp(fleet.stack) as channel:
        # What was taken in by one that died before it said so comes again, and leaves the queue.
        until(lambda: ready_messages(channel, "fleet.intake") == 0, what="an empty intake")
        ids = rows(fleet.stack, "SELECT id FROM tasks WHERE customer = :run", run=run)
        untold = {f"{each.id}".encode() for each in ids}
        for _, _, body in channel.consume(events, inactivity_timeout=60):
            untold -= {each for each in untold if body and each in body}
            if body is None or not untold:
                break
    assert untold == set()
    assert rows(fleet.stack, mine, run=run) == [(number, number)]
