"""Signing in with a password: who gets in, for how long, and what strangers learn."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from statistics import median
from typing import Any

import httpx2
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from fleet_workers.desk_file import SignInSection
from fleet_workers.store import audit, people
from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.desk_tables import desk_sessions
from fleet_workers.store.desk_tables import people as people_table
from fleet_workers.store.people import Change, Person
from fleet_workers.web import create_app
from fleet_workers.web.keys import NewKey, create_key
from fleet_workers.web.people import Account, change_person, create_person
from fleet_workers.web.resources import ConsoleSettings
from support.asgi_server import serving
from support.web_server import Site, csrf_of, running_site, send_form

EMAIL = "ann@example.com"
PASSWORD = "correct horse battery"


def person(site: Site, **fields: Any) -> Person:
    given = {"tenant": "acme", "email": EMAIL, "name": "Ann", "role": "reviewer", **fields}
    with site.engine.begin() as connection:
        return create_person(connection, Account(password=PASSWORD, **given), by="test")


def change(site: Site, who: Person, **fields: Any) -> None:
    password = fields.pop("password", None)
    with site.engine.begin() as connection:
        change_person(connection, who, Change(**fields), by="test", password=password)


def send(client: httpx2.Client, email: str = EMAIL, password: str = PASSWORD) -> httpx2.Response:
    return client.post("/console/sign-in", data={"email": email, "password": password})


@contextmanager
def browser(site: Site, *, url: str | None = None) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url or site.url, timeout=20) as client:
        yield client


def is_in(client: httpx2.Client) -> bool:
    return client.get("/console").status_code == 200


def entries(site: Site) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    query = (
        select(audit_inbox.c.who, audit_inbox.c.what, audit_inbox.c.tenant, audit_inbox.c.detail)
        .where(audit_inbox.c.kind == "sign_in")
        .order_by(audit_inbox.c.id)
    )
    with site.engine.begin() as connection:
        return [tuple(row) for row in connection.execute(query)]  # type: ignore[misc]


def test_a_person_signs_in_and_is_named(site: Site) -> None:
    ann = person(site)
    with browser(site) as client:
        response = send(client, "  Ann@Example.COM ", f" {PASSWORD} ")
        assert (response.status_code, response.headers["location"]) == (303, "/console")
        cookie = response.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/console"))
        assert "secure" not in cookie
        page = client.get("/console").text
        assert EMAIL in page
        assert "reviewer" in page
    with site.engine.begin() as connection:
        assert people.find(connection, ann.id, tenant="acme").seen_at is not None


def test_over_https_the_cookie_is_for_https_only(site: Site) -> None:
    person(site)
    settings = ConsoleSettings(public_url="https://desk.example")
    url = site.engine.url.render_as_string(hide_password=False)
    with running_site(url, console=settings) as other, browser(other) as client:
        assert "; secure" in send(client).headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong horse battery"),
        (EMAIL, ""),
        (EMAIL, PASSWORD + "\u00e9" * 2000),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("x" * 5000, "y"),
        ("' OR 1=1 --", "' OR 1=1 --"),
    ],
)
def test_a_stranger_learns_nothing_but_no(site: Site, email: str, password: str) -> None:
    person(site)
    with browser(site) as client:
        response = send(client, email, password)
    assert response.status_code == 401
    assert "The e-mail address or the password is wrong." in response.text
    assert "set-cookie" not in response.headers


def test_an_unknown_address_takes_as_long_as_a_wrong_password(site: Site) -> None:
    person(site)
    took: dict[str, list[float]] = {EMAIL: [], "nobody@example.com": []}
    with browser(site) as client:
        send(client, password="warm up, warm up")
        for _ in range(7):
            for email, times in took.items():
                began = time.perf_counter()
                send(client, email, "a wrong password")
                times.append(time.perf_counter() - began)
    known, unknown = (median(times) for times in took.values())
    assert unknown > known / 2
    assert known > unknown / 2


def test_who_has_no_password_yet_cannot_use_an_empty_one(site: Site) -> None:
    with site.engine.begin() as connection:
        new = Account(tenant="acme", email=EMAIL, name="", role="viewer")
        create_person(connection, new, by="test")
    with browser(site) as client:
        for password in ("", " ", "None", "a password that opens no account"):
            assert send(client, password=password).status_code == 401


def test_a_disabled_person_is_put_out_and_told_only_with_the_right_password(site: Site) -> None:
    ann = person(site)
    with browser(site) as client:
        send(client)
        assert is_in(client)
        change(site, ann, disabled=True)
        assert not is_in(client)
        assert "disabled" in send(client).text
        assert "disabled" not in send(client, password="a wrong password").text


def test_what_an_admin_changes_is_in_force_at_the_next_request(site: Site) -> None:
    item = site.parked("Not sure.", tenant="globex")
    ann = person(site)
    with browser(site) as client:
        send(client)
        assert client.get(f"/console/reviews/{item.id}").status_code == 404
        change(site, ann, tenant="globex")
        assert client.get(f"/console/reviews/{item.id}").status_code == 200


def test_a_new_password_signs_out_and_the_old_one_is_worth_nothing(site: Site) -> None:
    ann = person(site)
    with browser(site) as client:
        send(client)
        change(site, ann, password="another horse battery")
        assert not is_in(client)
        assert send(client).status_code == 401
        assert send(client, password="another horse battery").status_code == 303


def test_signing_out_makes_a_copied_cookie_worthless(site: Site) -> None:
    person(site)
    with browser(site) as client, browser(site) as thief:
        send(client)
        thief.cookies.update(client.cookies)
        assert is_in(thief)
        assert send_form(client, "/console/sign-out").headers["location"] == "/console/sign-in"
        assert not is_in(client)
        assert not is_in(thief)
    assert site.count("desk_sessions") == 0


def test_signing_in_again_ends_the_session_before_and_changes_its_token(site: Site) -> None:
    person(site)
    with browser(site) as client, browser(site) as thief:
        send(client)
        thief.cookies.update(client.cookies)
        token = csrf_of(client)
        send(client)
        assert csrf_of(client) != token
        assert not is_in(thief)
    assert site.count("desk_sessions") == 1


def test_a_session_set_by_somebody_else_is_not_taken_over(site: Site) -> None:
    person(site)
    with browser(site) as client:
        client.cookies.set("fleet_console", "chosen-by-an-attacker", path="/console")
        assert not is_in(client)
        response = send(client)
        assert "chosen-by-an-attacker" not in response.headers["set-cookie"]


def test_a_session_ends_by_time_and_when_it_is_not_used(site: Site) -> None:
    person(site)
    limits = SignInSection(session_hours=8, idle_minutes=60, tries_a_minute=600)
    for column, span in (("expires_at", 8 * 60 + 1), ("seen_at", 61)):
        url = site.engine.url.render_as_string(hide_password=False)
        with (
            running_site(url, console=ConsoleSettings(sign_in=limits)) as own,
            browser(own) as client,
        ):
            send(client)
            assert is_in(client)
            with site.engine.begin() as connection:
                kept = desk_sessions.c[column]
                connection.execute(
                    update(desk_sessions).values({column: kept - timedelta(minutes=span)})
                )
            assert not is_in(client)


def test_a_restart_and_a_second_process_keep_people_signed_in(site: Site) -> None:
    person(site)
    with browser(site) as client:
        send(client)
        cookies = client.cookies
    with serving(create_app(site.resources)) as url, browser(site, url=url) as client:
        client.cookies.update(cookies)
        assert is_in(client)


def test_a_hash_of_yesterday_is_made_anew_at_the_sign_in(site: Site) -> None:
    ann = person(site)
    weak = PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
    query = update(people_table).where(people_table.c.id == ann.id).values(password_hash=weak)
    with site.engine.begin() as connection:
        connection.execute(query)
    with browser(site) as client:
        assert send(client).status_code == 303
        with site.engine.begin() as connection:
            _, kept = people.by_email(connection, EMAIL) or (None, None)
        assert kept is not None
        assert kept != weak
        assert is_in(client)
        assert send(client).status_code == 303


def test_too_many_tries_are_refused_with_the_time_to_wait(site: Site) -> None:
    person(site)
    url = site.engine.url.render_as_string(hide_password=False)
    settings = ConsoleSettings(sign_in=SignInSection(tries_a_minute=3))
    with running_site(url, console=settings) as own, browser(own) as client:
        for _ in range(3):
            assert send(client, password="a wrong password").status_code == 401
        for _ in range(2):
            response = send(client)
            assert response.status_code == 429
            assert 1 <= int(response.headers["retry-after"]) <= 3600
            assert "Too many tries" in response.text
            assert "set-cookie" not in response.headers
        key = client.post("/console/sign-in", data={"key": own.key("viewer")})
        assert key.status_code == 429


def test_every_sign_in_and_refusal_stands_in_the_audit_trail_without_secrets(site: Site) -> None:
    person(site)
    before = len(entries(site))
    with browser(site) as client:
        send(client, "nobody@example.com", "the password of nobody")
        send(client, password="a wrong password")
        client.post("/console/sign-in", data={"key": "fleet_wrong"})
        client.post("/console/sign-in", data={"key": site.key("producer")})
        send(client)
        send_form(client, "/console/sign-out")
    written = entries(site)[before:]
    assert [(who, what, tenant) for who, what, tenant, _ in written] == [
        ("somebody", "sign-in by password refused", None),
        ("somebody", "sign-in by password refused", "acme"),
        ("somebody", "sign-in by key refused", None),
        ("somebody", "sign-in by key refused", "acme"),
        (EMAIL, "signed in by password", "acme"),
        (EMAIL, "signed out", "acme"),
    ]
    assert written[0][3] == {"email": audit.digest("nobody@example.com")}
    text = repr(written)
    for secret in (PASSWORD, "the password of nobody", "nobody@example.com", "fleet_wrong"):
        assert secret not in text


def test_a_key_that_may_not_read_the_desk_does_not_open_it(site: Site) -> None:
    with site.engine.begin() as connection:
        new = NewKey(tenant="acme", role="admin", label="x", rights=["read_tasks", "submit"])
        key = create_key(connection, new).text
    with browser(site) as client:
        response = client.post("/console/sign-in", data={"key": key})
        assert response.status_code == 401
        assert "no access" in response.text


def test_who_comes_from_another_site_is_led_in_by_a_page_of_ours(site: Site) -> None:
    """The cookie is SameSite=Strict, so a link in a mail comes without it the first time."""
    person(site)
    with browser(site) as client:
        foreign = {"Sec-Fetch-Site": "cross-site"}
        there = client.get("/console/tasks?state=dead", headers=foreign)
        assert there.status_code == 200
        assert 'content="0; url=/console/tasks?state=dead"' in there.text
        own = client.get("/console/tasks?state=dead", headers={"Sec-Fetch-Site": "same-origin"})
        assert own.headers["location"] == "/console/sign-in?next=/console/tasks%3Fstate%3Ddead"
        odd = client.get('/console/x"><script>?next=//evil', headers=foreign)
        assert "<script>" not in odd.text.replace("<script src=", "")
        send(client)
        assert "Tasks" in client.get("/console/tasks", headers=foreign).text
