"""The console: signing in and out, what the pages show, and that hostile text stays text."""

from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import update

from fleet_workers.store import dead_letters
from fleet_workers.store.accounts import revoke_keys
from fleet_workers.store.tables import api_keys
from fleet_workers.web.keys import ENTRY_LIFETIME, create_entry
from support.web_server import Site, csrf_of, send_form

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>{{ 7 * 7 }}"
PAGES = (
    "/console",
    "/console/tasks",
    "/console/tasks?state=in_review",
    "/console/reviews",
    "/console/dead-letters",
    "/console/agents",
)


def entering(site: Site, token: str) -> httpx2.Response:
    return httpx2.get(f"{site.url}/console/enter", params={"token": token})


def test_a_stranger_is_sent_to_sign_in_and_comes_back_after(site: Site) -> None:
    with httpx2.Client(base_url=site.url) as client:
        for path in PAGES:
            assert client.get(path).headers["location"].startswith("/console/sign-in?next=/console")
        form = client.get("/console/sign-in?next=/console/agents")
        assert 'value="/console/agents"' in form.text
        data = {"key": site.key("viewer"), "next": "/console/agents"}
        response = client.post("/console/sign-in", data=data)
        assert (response.status_code, response.headers["location"]) == (303, "/console/agents")
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "max-age=43200" in cookie


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/console//evil", "/console\\evil", "/x"]
)
def test_signing_in_leads_nowhere_else(site: Site, target: str) -> None:
    data = {"key": site.key("viewer"), "next": target}
    response = httpx2.post(f"{site.url}/console/sign-in", data=data)
    assert response.headers["location"] == "/console"


def test_a_wrong_key_and_a_producers_key_are_refused(site: Site) -> None:
    for key, words in (("fleet_wrong", "not known"), (site.key("producer"), "no access")):
        response = httpx2.post(f"{site.url}/console/sign-in", data={"key": key})
        assert response.status_code == 401
        assert words in response.text
        assert "set-cookie" not in response.headers


def test_a_form_from_another_site_is_refused(site: Site) -> None:
    key = site.key("viewer")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        response = httpx2.post(f"{site.url}/console/sign-in", data={"key": key}, headers=headers)
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
        with site.browser() as browser:
            form = {"csrf": csrf_of(browser)}
            response = browser.post("/console/sign-out", data=form, headers=headers)
            assert response.status_code == 403
            assert "Overview" in browser.get("/console").text
    own = httpx2.post(
        f"{site.url}/console/sign-in", data={"key": key}, headers={"Origin": site.url}
    )
    assert own.status_code == 303


def test_signing_out_ends_the_session(site: Site) -> None:
    with site.browser() as browser:
        assert browser.get("/console").status_code == 200
        assert browser.get("/console/sign-out").status_code == 405
        send_form(browser, "/console/sign-out")
        assert "API key" in browser.get("/console").text


def test_a_session_ends_with_its_key(site: Site) -> None:
    with site.browser("viewer", "acme") as browser:
        with site.engine.begin() as connection:
            revoke_keys(connection, label="acme viewer")
        assert "API key" in browser.get("/console").text


def test_a_link_signs_in_once(site: Site) -> None:
    token = create_entry(site.engine, key=site.key("operator", "*"))
    with httpx2.Client(base_url=site.url, follow_redirects=True) as browser:
        assert "Overview" in browser.get("/console/enter", params={"token": token}).text
        assert "Overview" in browser.get("/console/enter", params={"token": token}).text
    again = entering(site, token)
    assert again.status_code == 401
    assert "used before" in again.text


def test_a_link_that_is_old_wrong_or_of_a_revoked_key_does_not_sign_in(site: Site) -> None:
    key = site.key("operator", "*")
    old, orphan = create_entry(site.engine, key=key), create_entry(site.engine, key=key)
    with site.engine.begin() as connection:
        connection.execute(
            update(api_keys)
            .where(api_keys.c.role == "entry")
            .values(created_at=api_keys.c.created_at - ENTRY_LIFETIME)
        )
    assert entering(site, old).status_code == 401
    with site.engine.begin() as connection:
        connection.execute(
            update(api_keys)
            .where(api_keys.c.role == "entry")
            .values(created_at=api_keys.c.created_at + timedelta(minutes=15))
        )
        revoke_keys(connection, label="* operator")
    for token in (orphan, key, "fleet_wrong", ""):
        assert entering(site, token).status_code == 401


def test_hostile_text_stays_text_on_every_page(site: Site) -> None:
    packet: dict[str, object] = {
        "request": HOSTILE,
        HOSTILE: {HOSTILE: HOSTILE},
        "found": [HOSTILE],
    }
    item = site.parked(HOSTILE, packet=packet)
    held = site.claimed(input=HOSTILE, customer=HOSTILE, data={"note": HOSTILE})
    site.journal(held, model=HOSTILE, said=HOSTILE)
    with site.engine.begin() as connection:
        dead_letters.add(
            connection, reason=HOSTILE, error=HOSTILE, body=HOSTILE, tenant="acme", agent="billing"
        )
    own = (f"/console/tasks/{held.task_id}", f"/console/reviews/{item.id}")
    with site.browser() as browser:
        for path in (*PAGES, *own, f"/console/tasks/{item.task_id}"):
            response = browser.get(path)
            assert response.status_code == 200, path
            assert "<script>alert" not in response.text, path
            assert "<img" not in response.text, path
        for path in own:
            assert "&lt;script&gt;alert" in browser.get(path).text
        strange = browser.get("/console/tasks/<script>alert(1)</script>")
        assert strange.status_code == 404
        assert "<script>alert" not in strange.text


def test_pages_tell_browsers_to_load_nothing_foreign(site: Site) -> None:
    with site.browser() as browser:
        responses = [browser.get(path) for path in (*PAGES, "/console/sign-in", "/console/x")]
    for response in responses:
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cache-control"] == "no-store"
        assert "http://" not in response.text.replace(site.url, "")
        assert "https://" not in response.text
        assert "style=" not in response.text


def test_a_task_shows_its_steps_and_that_the_model_was_offline(site: Site) -> None:
    held = site.claimed()
    site.journal(held, model="offline-ranker")
    with site.browser("viewer", "acme") as browser:
        text = browser.get(f"/console/tasks/{held.task_id}").text
    for words in ("find_invoice", "inv_7", "321 tokens", "offline-ranker", "refused", "Z</time>"):
        assert words in text
    assert "Offline model." in text
    assert "Where is my money?" in text


def test_the_overview_counts_and_names_what_waits(site: Site) -> None:
    site.claimed()
    site.parked("The amount is not clear.")
    with site.browser("viewer", "acme") as browser:
        text = browser.get("/console").text
    assert "The amount is not clear." in text
    assert "<b>2</b> tasks" in text
    assert "<b>1</b> reviews waiting" in text


def test_a_review_reads_from_the_request_to_what_was_found(site: Site) -> None:
    item = site.parked(
        "Not sure.",
        packet={
            "why": "Not sure.",
            "found": [{"tool": "get_invoice", "arguments": {"id": "inv_7"}, "outcome": "paid"}],
            "request": "Where is my money?",
            "confidence": 0.42,
            "done": [],
            "data": {},
            "customer": "cus_1",
        },
    )
    with site.browser("reviewer", "acme") as browser:
        text = browser.get(f"/console/reviews/{item.id}").text
    assert text.index("Where is my money?") < text.index("get_invoice") < text.index("inv_7")
    assert "42 %" in text
    assert "cus_1" in text
    assert "<h2>Done</h2>" not in text


def test_the_front_door_leads_to_the_console(site: Site) -> None:
    response = httpx2.get(site.url)
    assert (response.status_code, response.headers["location"]) == (307, "/console")
