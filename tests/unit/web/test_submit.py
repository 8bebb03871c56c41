"""POST /v1/tasks and POST /v1/tasks/bulk."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from fleet_contracts.envelope import MAX_ENVELOPE_BYTES, build_envelope
from fleet_workers.store import tasks
from support.web_server import Site

TASK = {"agent": "billing", "input": "Why was I charged twice?"}


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert set(body) == {"type", "title", "status", "detail", "code"}
    return body


def eventually_published(site: Site, number: int) -> None:
    end = time.monotonic() + 5
    while len(site.published) < number and time.monotonic() < end:
        time.sleep(0.01)
    assert len(site.published) == number


def test_a_task_is_taken_with_its_row_and_its_letter(site: Site) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with site.client() as client:
        response = client.post("/v1/tasks", json=TASK, headers={"traceparent": trace})
        assert response.status_code == 202
        receipt = response.json()
        assert receipt["state"] == "queued"
        assert response.headers["location"] == receipt["status_url"]
        view = client.get(receipt["status_url"]).json()
    assert (view["tenant"], view["agent"], view["state"]) == ("acme", "billing", "queued")
    eventually_published(site, 1)
    letter = site.published[0]
    assert (letter.exchange, letter.message.routing_key) == ("agents", "agent.billing")
    assert letter.message.headers["traceparent"] == trace
    assert site.count("outbox") == 1


def test_a_repeat_with_the_same_key_is_the_same_task(site: Site) -> None:
    with site.client() as client:
        headers = {"Idempotency-Key": "order-7"}
        first = client.post("/v1/tasks", json=TASK, headers=headers)
        again = client.post("/v1/tasks", json={**TASK, "idempotency_key": "order-7"})
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        other = client.post("/v1/tasks", json={**TASK, "input": "Refund me"}, headers=headers)
        assert "order-7" in str(problem(other, 422, "conflict")["detail"])
        unlike = client.post("/v1/tasks", json={**TASK, "idempotency_key": "x"}, headers=headers)
        problem(unlike, 422, "invalid_input")
    assert (site.count("tasks"), site.count("outbox")) == (1, 1)


def test_twenty_at_once_with_one_key_make_one_task(site: Site) -> None:
    key = site.key()
    start = threading.Barrier(20)

    def post(_: int) -> tuple[int, str]:
        start.wait()
        response = httpx2.post(
            f"{site.url}/v1/tasks",
            json=TASK,
            headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "at-once"},
            timeout=30,
        )
        return response.status_code, response.json()["id"]

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(post, range(20)))
    assert len(answers) == 1
    assert answers.pop()[0] == 202
    assert (site.count("tasks"), site.count("outbox")) == (1, 1)
    eventually_published(site, 1)


def test_a_first_request_that_hangs_gives_409(site: Site) -> None:
    envelope = build_envelope(tenant="acme", idempotency_key="slow", **TASK)
    with site.client() as client, site.engine.begin() as connection:
        tasks.accept(connection, envelope, traceparent=None)
        response = client.post("/v1/tasks", json=TASK, headers={"Idempotency-Key": "slow"})
        problem(response, 409, "being_taken")
        assert response.headers["retry-after"]
        bulk = client.post("/v1/tasks/bulk", json={"tasks": [{**TASK, "idempotency_key": "slow"}]})
        assert bulk.json()["results"][0]["error"]["code"] == "being_taken"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"[]", 400, "malformed_json"),
        (b"", 400, "malformed_json"),
        (b'{"input": "\xff"}', 400, "malformed_json"),
        (b'{"input": "x", "data": {"n": NaN}}', 400, "malformed_json"),
        (b'{"input": "x", "data": {"n": 1e999}}', 400, "malformed_json"),
        (b'{"input": "x", "data": ' + b"[" * 100_000, 400, "malformed_json"),
        (b'{"input": "x", "schema_version": 2}', 422, "invalid_envelope"),
        (b'{"input": "x", "schema_version": ["\\ud800"]}', 422, "invalid_envelope"),
        (b'{"input": "x", "\\ud800": 1}', 422, "invalid_envelope"),
        (b'{"input": "a\\u0000b"}', 422, "invalid_envelope"),
        (b'{"input": "\\ud800"}', 422, "invalid_envelope"),
        (b'{"input": "  "}', 422, "invalid_envelope"),
        (b'{"input": "x", "colour": "red"}', 422, "invalid_envelope"),
        (b'{"input": "x", "idempotency_key": ["k"]}', 422, "invalid_envelope"),
        (b'{"input": "x", "agent": "Nobody!"}', 422, "invalid_envelope"),
        (b'{"input": "x", "tenant": "globex"}', 403, "forbidden"),
        (b'{"input": "x", "tenant": ["acme"]}', 403, "forbidden"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_reason(
    site: Site, body: bytes, status: int, code: str
) -> None:
    with site.client() as client:
        problem(client.post("/v1/tasks", content=body), status, code)
    assert site.count("tasks") == 0


def test_data_of_any_depth_is_taken_or_refused(site: Site) -> None:
    with site.client() as client:
        for depth in (200, 300, *range(880, 1010, 3), 5000):
            body = b'{"input": "x", "data": {"n": ' + b"[" * depth + b"]" * depth + b"}}"
            assert client.post("/v1/tasks", content=body).status_code in {202, 400, 422}, depth


def test_an_unknown_agent_is_told_who_is_there(site: Site) -> None:
    with site.client() as client:
        response = client.post("/v1/tasks", json={**TASK, "agent": "plumbing"})
    assert "billing" in str(problem(response, 422, "unknown_agent")["detail"])


def test_size_is_counted_as_the_envelope_not_as_its_escapes(site: Site) -> None:
    cyrillic = "\u0436" * 100_000
    with site.client() as client:
        escaped = json.dumps({**TASK, "input": cyrillic})
        assert len(escaped) > MAX_ENVELOPE_BYTES
        assert client.post("/v1/tasks", content=escaped).status_code == 202
        long = client.post("/v1/tasks", json={**TASK, "input": "x" * MAX_ENVELOPE_BYTES})
        problem(long, 413, "too_large")
        longer = client.post("/v1/tasks", content=b"x" * 3_000_000)
        problem(longer, 413, "too_large")


def test_a_key_for_all_tenants_must_name_one_that_exists(site: Site) -> None:
    with site.client(role="operator", tenant="*") as client:
        problem(client.post("/v1/tasks", json=TASK), 422, "invalid_input")
        stranger = client.post("/v1/tasks", json={**TASK, "tenant": "initech"})
        problem(stranger, 422, "unknown_tenant")
        assert client.post("/v1/tasks", json={**TASK, "tenant": "globex"}).status_code == 202


def test_a_bulk_takes_what_is_good_and_names_what_is_not(site: Site) -> None:
    items = [
        {**TASK, "idempotency_key": "a"},
        "no task",
        {**TASK, "agent": "plumbing"},
        {**TASK, "idempotency_key": "a"},
        {**TASK, "idempotency_key": "a", "input": "other words"},
        {**TASK, "tenant": "globex"},
        {**TASK, "input": "x" * (MAX_ENVELOPE_BYTES + 1)},
        {**TASK, "idempotency_key": "b"},
    ]
    with site.client() as client:
        first = client.post("/v1/tasks/bulk", json={"tasks": items}).json()["results"]
        second = client.post("/v1/tasks/bulk", json={"tasks": items}).json()["results"]
    codes = [each["status"] if not each["error"] else each["error"]["code"] for each in first]
    assert codes == [
        "accepted",
        "invalid_envelope",
        "unknown_agent",
        "known",
        "conflict",
        "forbidden",
        "too_large",
        "accepted",
    ]
    assert [each["status"] for each in second if not each["error"]] == ["known"] * 3
    assert [each["id"] for each in first] == [each["id"] for each in second]
    assert (site.count("tasks"), site.count("outbox")) == (2, 2)
    eventually_published(site, 2)


def test_bulks_with_the_same_keys_in_another_order_do_not_lock_each_other_out(site: Site) -> None:
    items = [{**TASK, "idempotency_key": f"k{number}"} for number in range(300)]
    key = site.key()

    def post(tasks_sent: list[dict[str, str]]) -> list[str]:
        response = httpx2.post(
            f"{site.url}/v1/tasks/bulk",
            json={"tasks": tasks_sent},
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )
        return [each["status"] for each in response.json()["results"]]

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(post, [items, items[::-1], items, items[::-1]]))
    flat = [status for each in statuses for status in each]
    assert sorted(set(flat)) == ["accepted", "known"]
    assert flat.count("accepted") == 300
    assert (site.count("tasks"), site.count("outbox")) == (300, 300)


def test_a_bulk_is_bounded(site: Site) -> None:
    with site.client() as client:
        problem(client.post("/v1/tasks/bulk", json={"tasks": [{}] * 1001}), 422, "invalid_input")
        problem(client.post("/v1/tasks/bulk", json={"tasks": {}}), 422, "invalid_input")
        assert client.post("/v1/tasks/bulk", json={"tasks": []}).json() == {"results": []}
