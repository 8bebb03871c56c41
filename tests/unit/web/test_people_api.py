"""`/v1/keys` and `/v1/people`: what admins may do, and what they may not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_workers.store import people
from fleet_workers.web.errors import Forbidden
from fleet_workers.web.keys import NewKey, create_key
from fleet_workers.web.people import Account, change_person, create_person
from support.web_server import Site

PASSWORD = "correct horse battery"
ANN = {"email": "ann@example.com", "role": "reviewer", "name": "Ann"}


@pytest.fixture
def admin(site: Site) -> Iterator[httpx2.Client]:
    with site.client("admin", "acme") as client:
        yield client


def narrowed(site: Site, *rights: str, role: str = "admin") -> httpx2.Client:
    """A client with a key that was made for less than its role allows."""
    with site.engine.begin() as connection:
        key = create_key(
            connection, NewKey(tenant="acme", role=role, label="x", rights=rights)
        ).text
    return with_key(site, key)


def with_key(site: Site, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=site.url, headers={"Authorization": f"Bearer {key}"}, timeout=20)


def made(response: httpx2.Response) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    view: dict[str, Any] = response.json()
    return view


def code(response: httpx2.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["code"])


@pytest.mark.parametrize("role", ["producer", "viewer", "reviewer", "operator"])
def test_only_admins_administer(site: Site, role: str) -> None:
    with site.client(role) as client:
        for answer in (
            client.get("/v1/keys"),
            client.post("/v1/keys", content=b"no json"),
            client.delete(f"/v1/keys/{uuid4()}"),
            client.get("/v1/people"),
            client.post("/v1/people", json=ANN),
            client.patch(f"/v1/people/{uuid4()}", json={}),
        ):
            assert code(answer, 403) == "forbidden"


def test_a_key_is_made_used_listed_and_revoked(site: Site, admin: httpx2.Client) -> None:
    answer = admin.post("/v1/keys", json={"role": "viewer", "label": "dashboards"})
    view = made(answer)
    assert answer.headers["location"] == f"/v1/keys/{view['id']}"
    assert (view["tenant"], view["rights"], view["used_at"]) == ("acme", None, None)
    with with_key(site, view["key"]) as client:
        assert client.get("/v1/reviews").status_code == 200
        listed = admin.get("/v1/keys").json()["keys"]
        assert [each["label"] for each in listed] == ["dashboards", "acme admin"]
        assert listed[0]["used_at"] is not None
        assert "key" not in listed[0]
        assert view["key"] not in admin.get("/v1/keys").text
        for _ in range(2):
            assert admin.delete(f"/v1/keys/{view['id']}").status_code == 204
        assert client.get("/v1/reviews").status_code == 401
    assert len(admin.get("/v1/keys").json()["keys"]) == 1
    assert len(admin.get("/v1/keys?revoked=true").json()["keys"]) == 2


def test_a_key_ends_by_itself(site: Site, admin: httpx2.Client) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    asked = {"role": "viewer", "label": "x", "expires_at": soon.isoformat()}
    view = made(admin.post("/v1/keys", json=asked))
    with with_key(site, view["key"]) as client:
        answers = [client.get("/v1/reviews").status_code]
        while datetime.now(UTC) < soon + timedelta(seconds=0.2):
            answers.append(client.get("/v1/reviews").status_code)
    assert (answers[0], answers[-1]) == (200, 401)


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "1999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "2999-01-01T00:00:00Z",
        "2999-01-01T00:00:00",
        "soon",
        -1,
    ],
)
def test_no_key_ends_before_it_began_or_after_us_all(admin: httpx2.Client, moment: object) -> None:
    asked = {"role": "viewer", "label": "x", "expires_at": moment}
    assert code(admin.post("/v1/keys", json=asked), 422) == "invalid_input"


def test_a_narrowed_key_does_only_what_it_was_made_for(site: Site) -> None:
    with narrowed(site, "read_tasks", role="operator") as client:
        assert client.get("/v1/tasks").status_code == 200
        assert code(client.get("/v1/reviews"), 403) == "forbidden"
        refused = client.post("/v1/tasks", json={"input": "Hello?"})
        assert "made for less" in refused.json()["detail"]


def test_nobody_gives_what_they_may_not_do_themselves(site: Site, admin: httpx2.Client) -> None:
    other = made(admin.post("/v1/people", json={**ANN, "role": "admin"}))
    with narrowed(site, "administer", "read_tasks") as client:
        for asked in (
            {"role": "admin", "label": "x"},
            {"role": "producer", "label": "x"},
            {"role": "viewer", "label": "x", "rights": ["read_tasks", "read_desk"]},
        ):
            assert code(client.post("/v1/keys", json=asked), 403) == "forbidden"
        allowed = {"role": "viewer", "label": "x", "rights": ["read_tasks"]}
        made(client.post("/v1/keys", json=allowed))
        person = {**ANN, "email": "eve@example.com", "role": "admin"}
        assert code(client.post("/v1/people", json=person), 403) == "forbidden"
        take_over = {"password": PASSWORD}
        assert code(client.patch(f"/v1/people/{other['id']}", json=take_over), 403) == "forbidden"


def test_an_admin_of_a_tenant_reaches_no_other(site: Site, admin: httpx2.Client) -> None:
    with site.client("admin", "globex") as stranger:
        key = made(stranger.post("/v1/keys", json={"role": "viewer", "label": "theirs"}))
        person = made(stranger.post("/v1/people", json=ANN))
        for tenant in ("globex", "*", "initech"):
            asked = {"role": "viewer", "label": "x", "tenant": tenant}
            assert code(admin.post("/v1/keys", json=asked), 403) == "forbidden"
            asked = {**ANN, "email": "b@example.com", "tenant": tenant}
            assert code(admin.post("/v1/people", json=asked), 403) == "forbidden"
        for path in (f"/v1/keys/{key['id']}", f"/v1/keys/{uuid4()}"):
            assert code(admin.delete(path), 404) == "unknown_key"
        for path in (f"/v1/people/{person['id']}", f"/v1/people/{uuid4()}"):
            assert code(admin.patch(path, json={"disabled": True}), 404) == "unknown_person"
        assert admin.get("/v1/people").json() == {"people": []}
        assert "theirs" not in admin.get("/v1/keys?revoked=true").text
        assert stranger.get("/v1/people").json()["people"] == [person]


def test_an_admin_of_all_tenants_names_one(site: Site) -> None:
    with site.client("admin", "*") as client:
        asked = {"role": "viewer", "label": "x"}
        assert code(client.post("/v1/keys", json=asked), 422) == "invalid_input"
        assert code(client.post("/v1/keys", json={**asked, "tenant": "x"}), 422) == "unknown_tenant"
        assert made(client.post("/v1/keys", json={**asked, "tenant": "*"}))["tenant"] == "*"
        assert made(client.post("/v1/people", json={**ANN, "tenant": "acme"}))["tenant"] == "acme"


def test_a_person_is_added_changed_and_disabled(site: Site, admin: httpx2.Client) -> None:
    asked = {**ANN, "email": " Ann@Example.com ", "groups": ["eu", "eu"], "password": PASSWORD}
    view = made(admin.post("/v1/people", json=asked))
    assert (view["email"], view["groups"], view["has_password"]) == (
        "ann@example.com",
        ["eu"],
        True,
    )
    assert PASSWORD not in repr(view)
    path = f"/v1/people/{view['id']}"
    changed = admin.patch(
        path, json={"role": "operator", "groups": [], "skills": ["refunds"]}
    ).json()
    assert (changed["role"], changed["groups"], changed["skills"]) == ("operator", [], ["refunds"])
    assert changed["name"] == "Ann"
    assert admin.patch(path, json={"disabled": True}).json()["disabled_at"] is not None
    assert admin.patch(path, json={"disabled": False}).json()["disabled_at"] is None
    assert admin.patch(path, json={}).json()["role"] == "operator"


def test_an_address_of_somebody_else_is_taken(admin: httpx2.Client, site: Site) -> None:
    made(admin.post("/v1/people", json=ANN))
    other = made(admin.post("/v1/people", json={**ANN, "email": "bob@example.com"}))
    assert code(admin.post("/v1/people", json=ANN), 409) == "address_taken"
    answer = admin.patch(f"/v1/people/{other['id']}", json={"email": "ANN@example.com"})
    assert code(answer, 409) == "address_taken"
    with site.client("admin", "globex") as stranger:
        assert code(stranger.post("/v1/people", json=ANN), 409) == "address_taken"


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "no address"},
        {"email": "a\0@example.com"},
        {"email": "a\u202e@example.com"},
        {"email": "x" * 300 + "@example.com"},
        {"role": "producer"},
        {"role": "entry"},
        {"role": "Admin"},
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"groups": ["With Spaces"]},
        {"groups": ["\0"]},
        {"groups": [f"g{number}" for number in range(51)]},
        {"skills": ["x" * 61]},
        {"password": "short"},
        {"password": "the password of ann@example.com"},
        {"password": "x" * 5000},
        {"id": "mine"},
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_kept(
    admin: httpx2.Client, wrong: dict[str, Any]
) -> None:
    assert code(admin.post("/v1/people", json={**ANN, **wrong}), 422) == "invalid_input"
    assert admin.get("/v1/people").json() == {"people": []}
    view = made(admin.post("/v1/people", json=ANN))
    assert code(admin.patch(f"/v1/people/{view['id']}", json=wrong), 422) == "invalid_input"
    assert admin.get("/v1/people").json()["people"] == [view]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
_NAMES = (
    "email", "role", "name", "tenant", "groups", "skills", "password", "label", "rights",
    "expires_at", "disabled", "x",
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=6) | _JSON)
def test_no_json_breaks_it(admin: httpx2.Client, body: object) -> None:
    for path in ("/v1/people", "/v1/keys"):
        assert admin.post(path, json=body).status_code in {201, 400, 409, 422}
    answer = admin.patch(f"/v1/people/{uuid4()}", json=body)
    assert answer.status_code in {400, 404, 422}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 50_000, 400), (b" " * 70_000, 413)],
)
def test_what_is_no_json_is_refused(admin: httpx2.Client, body: bytes, status: int) -> None:
    for path in ("/v1/people", "/v1/keys"):
        assert admin.post(path, content=body).status_code == status


def test_nobody_locks_themselves_out(site: Site) -> None:
    """Of the console, whose pages for people go the same way."""
    with site.engine.begin() as connection:
        new = Account(tenant="acme", email="ann@example.com", name="", role="admin")
        ann = create_person(connection, new, by="test")
        for wanted in (people.Change(disabled=True), people.Change(role="viewer")):
            with pytest.raises(Forbidden, match="another admin"):
                change_person(connection, ann, wanted, by="ann", granter=ann.holder)
        change_person(connection, ann, people.Change(name="A"), by="ann", granter=ann.holder)
