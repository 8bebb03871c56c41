"""`/v1/schedules`, and tasks that are put off, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from fleet_workers.store import schedules
from support.web_server import Site

FIGURES = {
    "name": "weekly figures",
    "cron": "30 8 * * MON",
    "zone": "Europe/Berlin",
    "task": {"agent": "billing", "input": "Send the weekly figures."},
}


def made(client: httpx2.Client, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/schedules", json={**FIGURES, **fields})
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/schedules/{found['id']}"
    return found


def test_a_schedule_is_made_read_changed_and_removed(site: Site) -> None:
    with site.client("operator") as client:
        schedule = made(client)
        place = f"/v1/schedules/{schedule['id']}"
        assert client.get(place).json() == schedule
        assert client.get("/v1/schedules").json() == {"schedules": [schedule]}
        times = client.get(f"{place}/next", params={"count": 3}).json()["times"]
        assert times[0] == schedule["next_at"]
        assert len(times) == 3
        changed = client.patch(place, json={"cron": "0 9 * * *", "missed": "all"}).json()
        assert (changed["cron"], changed["missed"], changed["zone"]) == (
            "0 9 * * *",
            "all",
            "Europe/Berlin",
        )
        off = client.patch(place, json={"enabled": False}).json()
        assert (off["enabled"], off["next_at"]) == (False, None)
        assert client.delete(place).status_code == 204
        assert client.get(place).status_code == 404
        assert client.delete(place).status_code == 404


def test_a_run_by_hand_is_a_task(site: Site) -> None:
    with site.client("operator") as client:
        schedule = made(client)
        response = client.post(f"/v1/schedules/{schedule['id']}/run")
        assert response.status_code == 202
        task = client.get(response.json()["status_url"]).json()
    assert (task["state"], task["agent"]) == ("queued", "billing")
    assert task["metadata"]["schedule"] == "weekly figures"
    assert site.count("outbox") == 1


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"cron": "soon"}, 422, "not_a_cron"),
        ({"cron": "0 3 30 2 *"}, 422, "not_a_cron"),
        ({"zone": "Mars/Olympus"}, 422, "not_a_zone"),
        ({"task": {"agent": "nobody", "input": "x"}}, 422, "unknown_agent"),
        ({"task": {"agent": ["billing"], "input": "x"}}, 422, "invalid_envelope"),
        ({"task": {"agent": "billing"}}, 422, "invalid_envelope"),
        ({"task": {"input": "a\0b"}}, 422, "invalid_envelope"),
        ({"task": {"input": "x", "tenant": "globex"}}, 422, "invalid_input"),
        ({"missed": "perhaps"}, 422, "invalid_input"),
        ({"name": "a\0b"}, 422, "invalid_input"),
        ({"colour": "red"}, 422, "invalid_input"),
        ({"tenant": "globex"}, 403, "forbidden"),
    ],
)
def test_what_cannot_come_is_refused(
    site: Site, fields: dict[str, Any], status: int, code: str
) -> None:
    with site.client("operator") as client:
        response = client.post("/v1/schedules", json={**FIGURES, **fields})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert site.count("schedules") == 0


def test_a_name_is_taken_once_a_tenant(site: Site) -> None:
    with site.client("operator") as client, site.client("operator", "*") as fleet:
        made(client)
        assert client.post("/v1/schedules", json=FIGURES).json()["code"] == "schedule_taken"
        made(fleet, tenant="globex")
        assert fleet.post("/v1/schedules", json=FIGURES).status_code == 422
        unknown = fleet.post("/v1/schedules", json={**FIGURES, "tenant": "nobody"})
        assert unknown.json()["code"] == "unknown_tenant"
        assert len(fleet.get("/v1/schedules").json()["schedules"]) == 2


def test_only_operators_of_the_tenant_touch_a_schedule(site: Site) -> None:
    with site.client("operator") as client:
        schedule = made(client)
    place = f"/v1/schedules/{schedule['id']}"
    with site.client("operator", "globex") as stranger:
        assert stranger.get("/v1/schedules").json() == {"schedules": []}
        for method, path in (
            ("GET", place),
            ("GET", f"{place}/next"),
            ("PATCH", place),
            ("DELETE", place),
            ("POST", f"{place}/run"),
        ):
            json = {"enabled": False} if method == "PATCH" else None
            assert stranger.request(method, path, json=json).status_code == 404
    for role in ("producer", "viewer", "reviewer"):
        with site.client(role) as client:
            assert client.delete(place).status_code == 403
            assert client.post("/v1/schedules", json=FIGURES).status_code == 403
    with site.client("viewer") as client:
        assert client.get(place).json()["name"] == "weekly figures"
    with site.engine.begin() as connection:
        found = schedules.by_name(connection, "weekly figures", tenant="acme")
    assert found.enabled
    assert found.created_by == "acme operator"


def test_a_delayed_task_has_no_message_and_says_when_it_is_due(site: Site) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    with site.client() as client:
        task = {"agent": "billing", "input": "x", "not_before": start.isoformat()}
        response = client.post("/v1/tasks", json=task)
        assert response.status_code == 202
        assert response.json()["state"] == "queued"
        view = client.get(response.json()["status_url"]).json()
        assert datetime.fromisoformat(view["due_at"]) == start
        cancelled = client.post(f"{response.json()['status_url']}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert site.count("outbox") == 0


def test_of_a_bulk_the_last_of_a_key_is_left(site: Site) -> None:
    def task(number: int, key: str) -> dict[str, Any]:
        words = {"agent": "billing", "input": f"number {number}"}
        return {**words, "debounce_key": key, "debounce_seconds": 60}

    with site.client() as client:
        bulk = [task(number, f"key {number % 3}") for number in range(120)]
        response = client.post("/v1/tasks/bulk", json={"tasks": bulk})
        results = response.json()["results"]
        assert {each["status"] for each in results} == {"accepted"}
        views = [client.get(f"/v1/tasks/{each['id']}").json() for each in results[-6:]]
    assert [view["state"] for view in views] == ["cancelled"] * 3 + ["queued"] * 3
    for replaced, last in zip(views[:3], views[3:], strict=True):
        assert replaced["outcome"]["replaced_by"] == last["id"]
    assert site.count("outbox") == 0
