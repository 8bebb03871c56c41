"""The console's page for people and keys."""

import re
from uuid import UUID, uuid4

import httpx2
import pytest

from fleet_workers.store import people
from fleet_workers.store.people import Person
from fleet_workers.web.keys import NewKey, create_key
from fleet_workers.web.people import Account, create_person
from support.web_server import Site, csrf_of, send_form

PAGE = "/console/people"
EMAIL = "ann@example.com"


def person(site: Site, tenant: str = "acme", email: str = EMAIL, role: str = "reviewer") -> Person:
    with site.engine.begin() as connection:
        new = Account(tenant=tenant, email=email, name="", role=role)
        return create_person(connection, new, by="test")


def now(site: Site, who: Person) -> Person:
    with site.engine.begin() as connection:
        return people.find(connection, who.id, tenant=None)


def secret_on(response: httpx2.Response) -> str:
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    found = re.search(r"<pre>(.+?)</pre>", response.text)
    assert found is not None, response.text
    return found[1]


@pytest.mark.parametrize("role", ["viewer", "reviewer", "operator"])
def test_only_admins_see_it_and_are_shown_the_way(site: Site, role: str) -> None:
    with site.browser(role, "acme") as browser, site.browser("admin", "acme") as admin:
        assert browser.get(PAGE).status_code == 403
        assert PAGE not in browser.get("/console").text
        for path in ("/add", f"/{uuid4()}/disable", "/keys/add", f"/keys/{uuid4()}/revoke"):
            assert send_form(browser, PAGE + path).status_code == 403
        assert PAGE in admin.get("/console").text


def test_a_person_is_added_and_signs_in_with_what_was_shown_once(site: Site) -> None:
    with site.browser("admin", "acme") as browser:
        form = {"email": EMAIL, "role": "reviewer", "groups": "eu, vip", "skills": ""}
        password = secret_on(send_form(browser, f"{PAGE}/add", **form))
        page = browser.get(PAGE).text
        assert password not in page
        assert "eu, vip" in page
    with httpx2.Client(base_url=site.url) as client:
        data = {"email": EMAIL, "password": password}
        assert client.post("/console/sign-in", data=data).status_code == 303


def test_a_person_is_changed_disabled_and_given_a_new_password(site: Site) -> None:
    ann = person(site)
    place = f"{PAGE}/{ann.id}"
    with site.browser("admin", "acme") as browser:
        form = {"name": "Ann", "role": "operator", "groups": "", "skills": "refunds"}
        assert "is changed" in send_form(browser, f"{place}/change", **form).text
        assert (now(site, ann).role, now(site, ann).skills) == ("operator", ("refunds",))
        assert "signed out" in send_form(browser, f"{place}/disable").text
        assert now(site, ann).disabled_at is not None
        send_form(browser, f"{place}/enable")
        assert now(site, ann).disabled_at is None
        assert len(secret_on(send_form(browser, f"{place}/password"))) >= 20
        assert now(site, ann).has_password


def test_a_key_is_made_shown_once_and_revoked(site: Site) -> None:
    with site.browser("admin", "acme") as browser:
        form = {"label": "<b>nightly", "role": "viewer", "days": "30"}
        answer = send_form(browser, f"{PAGE}/keys/add", **form, right=["read_tasks"])
        key = secret_on(answer)
        assert key not in browser.get(PAGE).text
        assert "<b>nightly" not in answer.text
        with httpx2.Client(base_url=site.url, headers={"Authorization": f"Bearer {key}"}) as client:
            assert client.get("/v1/tasks").status_code == 200
            assert client.get("/v1/reviews").status_code == 403
            ids = re.findall(rf"{PAGE}/keys/([0-9a-f-]+)/revoke", browser.get(PAGE).text)
            assert "is revoked" in send_form(browser, f"{PAGE}/keys/{ids[0]}/revoke").text
            assert client.get("/v1/tasks").status_code == 401


def test_what_does_not_fit_is_told_and_nothing_happens(site: Site) -> None:
    person(site)
    with site.browser("admin", "acme") as browser:
        for path, form, status, words in (
            ("/add", {"email": EMAIL, "role": "viewer"}, 409, "choose another"),
            ("/add", {"email": "x", "role": "viewer"}, 422, "no e-mail address"),
            ("/add", {"email": "b@example.com", "role": "king"}, 422, "No person"),
            ("/add", {}, 422, "No person"),
            ("/add", {"email": "b@b", "role": "viewer", "tenant": "globex"}, 403, "tenant acme"),
            ("/keys/add", {"label": "x", "role": "viewer", "days": "-1"}, 422, "days"),
            ("/keys/add", {"label": "x", "role": "viewer", "days": "9" * 400}, 422, "days"),
            ("/keys/add", {"label": "x", "role": "viewer", "days": "\u0661"}, 422, "days"),
            ("/keys/add", {"label": "", "role": "viewer"}, 422, "label"),
            ("/keys/add", {"label": "x", "role": "entry"}, 422, "No role"),
            (f"/keys/{uuid4()}/revoke", {}, 404, "No key"),
            (f"/{uuid4()}/disable", {}, 404, "Nobody"),
            ("/no-id/disable", {}, 404, ""),
        ):
            answer = send_form(browser, PAGE + path, **form)
            assert answer.status_code == status, (path, form, answer.text)
            assert words in answer.text
    assert site.count("people") == 1
    assert site.count("api_keys") == 1


def test_another_tenants_people_and_keys_are_not_there(site: Site) -> None:
    theirs = person(site, tenant="globex")
    with site.engine.begin() as connection:
        new = NewKey(tenant="globex", role="viewer", label="their key")
        key = create_key(connection, new).kept
    with site.browser("admin", "acme") as browser, site.browser("admin", "*") as fleet:
        page = browser.get(PAGE).text
        assert EMAIL not in page
        assert "their key" not in page
        assert browser.get(f"{PAGE}/{theirs.id}").status_code == 404
        assert EMAIL in fleet.get(f"{PAGE}/{theirs.id}").text
        for path in ("disable", "enable", "password", "change"):
            assert send_form(browser, f"{PAGE}/{theirs.id}/{path}").status_code == 404
        assert send_form(browser, f"{PAGE}/keys/{key.id}/revoke").status_code == 404
        assert now(site, theirs) == theirs
        page = fleet.get(PAGE).text
        assert EMAIL in page
        assert "their key" in page


def test_an_admin_who_signed_in_as_a_person_cannot_lock_themselves_out(site: Site) -> None:
    with site.browser("admin", "acme") as browser:
        form = {"email": EMAIL, "role": "admin"}
        password = secret_on(send_form(browser, f"{PAGE}/add", **form))
    with httpx2.Client(base_url=site.url, follow_redirects=True) as ann:
        ann.post("/console/sign-in", data={"email": EMAIL, "password": password})
        own = re.findall(rf'{PAGE}/([0-9a-f-]{{36}})"', ann.get(PAGE).text)
        assert "disable" in ann.get(f"{PAGE}/{own[0]}").text
        assert len(own) == 1
        assert UUID(own[0])
        for path, form in (("disable", {}), ("change", {"role": "viewer"})):
            answer = send_form(ann, f"{PAGE}/{own[0]}/{path}", **form)
            assert answer.status_code == 403
            assert "another admin" in answer.text
        assert csrf_of(ann)
