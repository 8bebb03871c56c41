"""Reviews leave the fleet: over RabbitMQ, by webhook, by mail; another system decides them."""

import base64
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from jsonschema import validate

from fleet_client import FleetClient
from fleet_contracts.reviews import NoticeEvent, ReviewMessage
from fleet_workers.store import accounts
from fleet_workers.testing import answer, call
from support.bench import Bench, script, until
from support.howto import program_of
from support.parcels_fleet import open_bench
from support.stacks import Stack, open_stack
from support.webhook_receiver import Hook, Receiver, webhook_receiver

ROOT = Path(__file__).parents[2]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REFUND = call("refund_order", order_id="ord_7", amount_usd="50.01")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def rabbitmq_stack() -> Iterator[Stack]:
    """One of its own: whoever takes reviews from a queue takes those of other tests, too."""
    with open_stack("rabbitmq") as stack:
        yield stack


@pytest.fixture(scope="module")
def bench(
    rabbitmq_stack: Stack, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """Web, two janitors with a desk's file, and a worker."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "desk.toml").write_text(
        f"""
        [[webhooks]]
        name = "desk"
        url = "{receiver.url}"
        secret = "DESK_SECRET"
        events = ["review.opened", "review.decided"]

        [[notices]]
        name = "team"
        webhook = "desk"
        """
    )
    environment = {"FLEET_DESK": str(folder / "desk.toml"), "DESK_SECRET": SECRET}
    with open_bench(
        rabbitmq_stack, folder, serves=("parcels",), janitors=2, environment=environment
    ) as opened:
        yield opened


def ask(bench: Bench, client: FleetClient) -> Any:
    text = script(bench, call("track_parcel", order_id="ord_7"), REFUND, answer("It is refunded."))
    return client.submit(text, agent="parcels", customer="cus_1")


def hooks_of(receiver: Receiver, task_id: UUID, kind: str) -> list[Hook]:
    with receiver.lock:
        hooks = list(receiver.hooks)
    return [
        each
        for each in hooks
        if each.event["type"] == kind and each.event["data"]["task_id"] == str(task_id)
    ]


def reviewer_key(stack: Stack) -> str:
    with stack.engine.begin() as connection:
        return accounts.add_key(connection, tenant="acme", role="reviewer", label="another system")


def test_another_system_takes_a_review_from_rabbitmq_and_decides_it_over_http(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the consumer of the how-to page, in front of an approval
    with bench.fleet.client() as client:
        task = ask(bench, client)
        task.wait(timeout=20)
        seen: list[ReviewMessage] = []

        def look_at(review: dict[str, Any]) -> tuple[str, dict[str, Any]]:
            validate(review, json.loads((ROOT / "docs/schemas/human-review.json").read_text()))
            seen.append(ReviewMessage.model_validate(review))
            return "approve", {}

        monkeypatch.setenv("FLEET_API_URL", bench.fleet.api_url)
        monkeypatch.setenv("FLEET_API_KEY", reviewer_key(bench.fleet.stack))
        monkeypatch.setenv("FLEET_BROKER_URL", bench.fleet.stack.broker_url)
        names: dict[str, Any] = {"look_at": look_at, "SECONDS": 2}
        code = compile(program_of("take-reviews.md", "python"), "take-reviews.md", "exec")
        exec(code, names)  # noqa: S102 the page's own code is what is tested
        names["channel"].connection.close()
        names["api"].close()
        # I expect the agent to go on, and the money to be moved once
        assert task.wait(timeout=20).outcome.answer == "It is refunded."
    (message,) = [each for each in seen if each.task_id == task.id]
    assert message.packet is not None
    assert message.packet["action"]["line"] == "Refund order (Order ID ord_7, Amount 50.01 USD)"
    assert bench.shop.effects_on("ord_7") == ["refund"]


def test_a_help_desk_is_told_by_signed_webhooks_that_the_pages_receivers_can_verify(
    bench: Bench, receiver: Receiver, tmp_path: Path
) -> None:
    with bench.fleet.client() as client:
        task = ask(bench, client)
        task.wait(timeout=20)
    (opened,) = until(lambda: hooks_of(receiver, task.id, "review.opened"), what="the webhook")
    names: dict[str, Any] = {}
    exec(program_of("help-desk-webhook.md", "python"), names)  # noqa: S102 as above
    is_genuine = names["is_genuine"]
    assert is_genuine(opened.headers, opened.body, SECRET)
    assert not is_genuine(opened.headers, opened.body + b" ", SECRET)
    assert not is_genuine(opened.headers, opened.body, "another secret")
    late = {**opened.headers, "webhook-timestamp": "1614265330"}
    assert not is_genuine(late, opened.body, SECRET)
    if node := shutil.which("node"):
        program = tmp_path / "verify.js"
        program.write_text(
            program_of("help-desk-webhook.md", "js")
            + "\nconst [headers, body, secret] = JSON.parse(process.argv[2]);"
            + "\nconsole.log(isGenuine(headers, Buffer.from(body, 'base64'), secret));\n"
        )
        for body, expected in ((opened.body, "true"), (opened.body + b" ", "false")):
            given = json.dumps([dict(opened.headers), base64.b64encode(body).decode(), SECRET])
            said = subprocess.run(
                [node, program, given], capture_output=True, text=True, check=True
            )
            assert said.stdout.strip() == expected
    validate(opened.event, json.loads((ROOT / "docs/schemas/webhook.json").read_text()))


@pytest.mark.slow
def test_what_a_killed_janitor_had_under_way_is_told_by_another_under_the_same_id(
    bench: Bench, receiver: Receiver
) -> None:
    # Given a receiver that takes its time, and the janitor killed that waits for it
    with bench.fleet.client() as client:
        task = ask(bench, client)
        task.wait(timeout=20)
        until(lambda: hooks_of(receiver, task.id, "review.opened"), what="the webhook")
        (opened,) = hooks_of(receiver, task.id, "review.opened")
        killed: list[Any] = []

        def kill_who_sends(hook: Hook) -> tuple[int, dict[str, str]]:
            if hook.event["type"] == "review.decided" and not killed:
                killed.extend(
                    each
                    for each in bench.fleet.processes
                    if each.name.endswith("janitor") and each.is_alive
                )
                for each in killed:
                    each.process.send_signal(signal.SIGKILL)
                    each.was_ended = True
            return 204, {}

        receiver.answer = kill_who_sends
        decide(bench, opened.event["data"]["id"])
        until(lambda: killed, what="the kill")
        bench.fleet.start_janitor()
        bench.fleet.wait_ready()
        again = until(
            lambda: (
                found if len(found := hooks_of(receiver, task.id, "review.decided")) > 1 else None
            ),
            seconds=60,
            what="the second try",
        )
    assert len({each.id for each in again}) == 1
    assert again[0].event["data"]["decision"]["ruling"] == "reject"


def test_a_notice_comes_to_the_webhook_too(receiver: Receiver, bench: Bench) -> None:
    def told() -> list[NoticeEvent]:
        with receiver.lock:
            hooks = list(receiver.hooks)
        return [
            NoticeEvent.model_validate(each.event)
            for each in hooks
            if each.event["type"] == "notice"
        ]

    notice = until(told, seconds=40, what="a notice")[0]
    assert notice.data.section == "team"
    assert "wait" in notice.data.subject
    assert bench.fleet.processes


def test_a_janitor_whose_secret_is_missing_says_so_and_ends(
    rabbitmq_stack: Stack, tmp_path: Path
) -> None:
    desk = tmp_path / "desk.toml"
    desk.write_text('[[webhooks]]\nname = "desk"\nurl = "http://x.example/"\nsecret = "NOT_SET"\n')
    ended = subprocess.run(
        [sys.executable, "-m", "fleet_workers.cli", "janitor"],
        env={**rabbitmq_stack.environment(), "FLEET_DESK": str(desk), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "webhooks.desk: the variable NOT_SET holds no secret" in ended.stderr
    assert "Traceback" not in ended.stderr


def decide(bench: Bench, review_id: str) -> None:
    answered = httpx2.post(
        f"{bench.fleet.api_url}/v1/reviews/{review_id}/reject",
        json={"reason": "Too late.", "end": True},
        headers={"Authorization": f"Bearer {reviewer_key(bench.fleet.stack)}"},
    )
    assert answered.status_code == 200, answered.text
