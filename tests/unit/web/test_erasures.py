"""`/v1/erasures`: admins ask for a customer to be erased, and read the receipt."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from fleet_workers.janitor.erase import erase_some
from support.web_server import Site

PATH = "/v1/erasures"


def test_an_admin_asks_and_reads_the_receipt(site: Site) -> None:
    task_id = site.accepted("acme")
    with site.engine.begin() as connection:
        connection.execute(
            text("UPDATE tasks SET customer = 'zoe' WHERE id = :id"), {"id": task_id}
        )
    with site.client("admin") as client:
        refused = client.post(PATH, json={"customer": "zoe"})
        assert (refused.status_code, refused.json()["code"]) == (409, "open_tasks")
        accepted = client.post(PATH, json={"customer": "zoe", "cancel_open": True})
        assert accepted.status_code == 202
        assert accepted.json()["finished_at"] is None
        place = accepted.headers["location"]
        while erase_some(site.engine, lambda *_: 0, cut_off=timedelta(0)):
            pass
        receipt = client.get(place).json()
        assert receipt["finished_at"]
        assert receipt["erased"] == {"tasks": 1, "cancelled": 1}
        assert client.get(PATH).json()["erasures"] == [receipt]
        assert client.get(f"/v1/tasks/{task_id}").json()["customer"] is None
    with site.browser() as browser:
        assert "zoe" not in browser.get(f"/console/tasks/{task_id}").raise_for_status().text


@pytest.mark.parametrize("role", ["producer", "viewer", "reviewer", "operator"])
def test_others_may_not(site: Site, role: str) -> None:
    with site.client(role) as client:
        assert client.post(PATH, json={"customer": "zoe"}).status_code == 403
        assert client.get(PATH).status_code == 403


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "customer"),
        ({"customer": ""}, "customer"),
        ({"customer": " "}, "Name a customer"),
        ({"customer": "x" * 501}, "customer"),
        ({"customer": "zoe", "all": True}, "all"),
        ({"customer": "zoe", "tenant": "globex"}, "leave tenant out"),
    ],
)
def test_what_is_wrong_is_told(site: Site, body: dict[str, object], said: str) -> None:
    with site.client("admin") as client:
        answer = client.post(PATH, json=body)
    assert answer.status_code in {403, 422}
    assert said in answer.json()["detail"]


def test_an_admin_of_all_names_the_tenant(site: Site) -> None:
    with site.client("admin", "*") as client:
        assert client.post(PATH, json={"customer": "zoe"}).status_code == 422
        unknown = client.post(PATH, json={"customer": "zoe", "tenant": "acne"})
        assert "No tenant is called" in unknown.json()["detail"]
        known = client.post(PATH, json={"customer": "zoe", "tenant": "acme"})
        assert (known.status_code, known.json()["tenant"]) == (202, "acme")
