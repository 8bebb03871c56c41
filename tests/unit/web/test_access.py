"""Keys, roles and tenants."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import pytest

from fleet_contracts.errors import InvalidInput, UnknownTenant
from fleet_workers.store.accounts import revoke_keys
from fleet_workers.web.keys import NewKey, create_entry, create_key, reset_key
from support.web_server import Site

READS = ("/v1/tasks", "/v1/reviews", "/v1/dead-letters", "/v1/agents")


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer fleet_wrong", "Basic YTpi", "Bearer " + "x" * 5000, "Bearer \xff"],
)
def test_without_a_right_key_nothing_is_told(site: Site, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    for path in READS:
        response = httpx2.get(site.url + path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert response.json()["code"] == "unauthorized"
    assert httpx2.post(f"{site.url}/v1/tasks", headers=headers, content=b"{").status_code == 401


def test_a_revoked_key_is_refused_at_once(site: Site) -> None:
    with site.client() as client:
        assert client.get("/v1/tasks").status_code == 200
        with site.engine.begin() as connection:
            revoke_keys(connection, label="acme producer")
        assert client.get("/v1/tasks").status_code == 401


@pytest.mark.parametrize(
    ("role", "submits", "reads_desk"),
    [
        ("producer", True, False),
        ("viewer", False, True),
        ("reviewer", False, True),
        ("operator", True, True),
        ("admin", True, True),
    ],
)
def test_a_role_allows_what_it_says(site: Site, role: str, submits: bool, reads_desk: bool) -> None:
    held = site.claimed()
    with site.client(role) as client:
        assert client.get("/v1/tasks").status_code == 200
        assert client.get("/v1/agents").status_code == 200
        assert client.get("/v1/reviews").status_code == (200 if reads_desk else 403)
        assert client.get("/v1/dead-letters").status_code == (200 if reads_desk else 403)
        posted = client.post("/v1/tasks", json={"input": "Where is my money?"})
        assert posted.status_code == (202 if submits else 403)
        cancelled = client.post(f"/v1/tasks/{held.task_id}/cancel")
        assert cancelled.status_code == (200 if submits else 403)


def test_another_tenant_sees_nothing(site: Site) -> None:
    item = site.parked("Not sure.")
    paths = (
        f"/v1/tasks/{item.task_id}",
        f"/v1/tasks/{item.task_id}/journal",
        f"/v1/reviews/{item.id}",
        f"/console/tasks/{item.task_id}",
        f"/console/reviews/{item.id}",
    )
    with site.client("operator", "globex") as stranger, site.browser("admin", "globex") as browser:
        for path in paths:
            client = browser if path.startswith("/console") else stranger
            assert client.get(path).status_code == 404, path
        assert stranger.post(f"/v1/tasks/{item.task_id}/cancel").status_code == 404
        assert stranger.get("/v1/tasks").json()["tasks"] == []
        waiting = stranger.get("/v1/reviews").json()
        assert (waiting["reviews"], waiting["waiting"]) == ([], 0)
        assert "Not sure." not in browser.get("/console").text
    with site.client("viewer", "*") as everyone:
        assert everyone.get(f"/v1/reviews/{item.id}").json()["reason"] == "Not sure."


def test_keys_are_made_for_roles_and_tenants_that_exist(site: Site) -> None:
    with site.engine.begin() as connection:
        new = NewKey(tenant="acme", role="viewer", label="x")
        assert create_key(connection, new).text.startswith("fleet_")
        for wrong in (
            replace(new, role="entry"),
            replace(new, label=" "),
            replace(new, label="x" * 201),
            replace(new, label="\0"),
            replace(new, rights=["decide"]),
            replace(new, rights=[]),
            replace(new, expires_at=datetime.now(UTC)),
        ):
            with pytest.raises(InvalidInput):
                create_key(connection, wrong)
        for name in ("initech", "", "\0"):
            with pytest.raises(UnknownTenant):
                create_key(connection, replace(new, tenant=name))


def test_resetting_a_key_ends_the_one_before(site: Site) -> None:
    old = reset_key(site.engine, tenant="*", role="operator", label="console")
    new = reset_key(site.engine, tenant="*", role="operator", label="console")
    answers = [
        httpx2.get(f"{site.url}/v1/tasks", headers={"Authorization": f"Bearer {key}"}).status_code
        for key in (old, new)
    ]
    assert answers == [401, 200]


def test_the_token_of_a_link_is_no_key(site: Site) -> None:
    token = create_entry(site.engine, key=site.key("admin", "*"))
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx2.get(f"{site.url}/v1/tasks", headers=headers).status_code == 403
    with pytest.raises(InvalidInput):
        create_entry(site.engine, key="fleet_wrong")
