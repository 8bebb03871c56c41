"""Flower beside a fleet: what it shows, what it hides, and from whom."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from celery import Celery

from fleet_contracts.envelope import build_envelope
from fleet_contracts.states import TaskState
from support.bench import TRACK_AND_TELL, Bench, script, until, view
from support.stacks import Stack

USER, PASSWORD = "fleet", "s3same-0pen"


@pytest.fixture(scope="session")
def flower(bench: Bench) -> Iterator[httpx2.Client]:
    url = bench.fleet.start_flower(user=USER, password=PASSWORD)
    bench.fleet.wait_ready()
    with httpx2.Client(base_url=url, auth=(USER, PASSWORD), timeout=20) as client:
        until(lambda: _worker(client, bench), what="the worker in Flower")
        yield client


def _worker(flower: httpx2.Client, bench: Bench) -> str | None:
    """The name by which Flower knows the bench's worker."""
    known = flower.get("/api/workers").json()
    return next((name for name in known if name.startswith("parcels.")), None)


def _foreign_celery(stack: Stack) -> Celery:
    """A client as another team would write it: it tells all that is listening what it sent."""
    app = Celery("shop", broker=stack.broker_url, set_as_current=False)
    app.conf.update(
        task_send_sent_event=True,
        task_ignore_result=True,
        task_default_exchange="agents",
        task_default_exchange_type="topic",
        task_create_missing_queues=False,
    )
    return app


def _send(stack: Stack, text: str) -> str:
    envelope = build_envelope(tenant="acme", agent="parcels", input=text)
    with _foreign_celery(stack) as app:
        app.send_task(
            "agent.parcels",
            args=[envelope.to_dict()],
            task_id=str(envelope.id),
            exchange="agents",
            routing_key="agent.parcels",
        )
    done = (TaskState.SUCCEEDED, TaskState.IN_REVIEW)
    until(
        lambda: (seen := view(stack, envelope.id)) and seen.state in done,
        what="the end of the task",
    )
    return str(envelope.id)


def test_a_delivery_is_shown_by_its_agents_name_and_without_its_text(
    flower: httpx2.Client, bench: Bench, stack: Stack
) -> None:
    secret = f"secret{uuid4().hex}"
    task_id = _send(stack, f"{secret} {script(bench, *TRACK_AND_TELL)}")
    seen: dict[str, Any] = until(
        lambda: (
            (found := flower.get(f"/api/task/info/{task_id}")).status_code == 200
            and (info := found.json())["state"] == "SUCCESS"
            and info
        ),
        what="the delivery in Flower",
    )
    assert seen["name"] == "agent.parcels"
    assert seen["args"] == "…"
    worker = _worker(flower, bench)
    assert worker
    pages = [
        f"/task/{task_id}",
        "/tasks",
        "/api/tasks",
        "/api/workers?refresh=true",
        f"/worker/{worker}",
        "/metrics",
    ]
    for page in pages:
        answer = flower.get(page)
        assert answer.status_code == 200, page
        assert secret not in answer.text, page
        assert bench.fleet.stack.broker_url not in answer.text, page
    assert 'task="agent.parcels"' in flower.get("/metrics").text


def test_its_search_cannot_tell_what_a_request_said(
    flower: httpx2.Client, bench: Bench, stack: Stack
) -> None:
    secret = f"secret{uuid4().hex}"
    task_id = _send(stack, f"{secret} {script(bench, *TRACK_AND_TELL)}")
    until(lambda: flower.get(f"/api/task/info/{task_id}").status_code == 200, what="the delivery")
    assert _rows_found(flower, "agent.parcels")
    assert not _rows_found(flower, secret)
    assert not _rows_found(flower, f"args:{secret}")


def _rows_found(flower: httpx2.Client, search: str) -> int:
    asked = {
        "draw": "1",
        "start": "0",
        "length": "10",
        "search[value]": search,
        "order[0][column]": "0",
        "order[0][dir]": "asc",
        "columns[0][data]": "name",
    }
    return int(flower.get("/tasks/datatable", params=asked).json()["recordsFiltered"])


@pytest.mark.parametrize(
    "page", ["/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks", "/api/task/types"]
)
def test_a_stranger_sees_nothing(flower: httpx2.Client, page: str) -> None:
    for auth in (None, (USER, "wrong"), ("", "")):
        with httpx2.Client(base_url=flower.base_url, auth=auth) as stranger:
            assert stranger.get(page).status_code == 401, (page, auth)


@pytest.mark.parametrize("page", ["/healthcheck", "/metrics"])
def test_probes_and_prometheus_need_no_password(flower: httpx2.Client, page: str) -> None:
    assert httpx2.get(f"{flower.base_url}{page}").status_code == 200


def test_nobody_changes_a_pool_or_sends_a_task_from_here(
    flower: httpx2.Client, bench: Bench
) -> None:
    worker = _worker(flower, bench)
    for deed in (f"worker/shutdown/{worker}", f"worker/pool/shrink/{worker}", "task/revoke/1"):
        assert flower.post(f"/api/{deed}").status_code == 403, deed
    sent = flower.post("/api/task/send-task/agent.parcels", content=json.dumps({"args": []}))
    assert sent.status_code == 403


def test_queues_of_a_valkey_broker_are_shown(flower: httpx2.Client, stack: Stack) -> None:
    if stack.name != "embedded":
        pytest.skip("RabbitMQ shows its queues through its management plugin.")
    page = flower.get("/broker")
    assert page.status_code == 200
    assert "agent.parcels" in page.text
