"""Single sign-on against a provider on a loopback port, honest and not."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import select

from fleet_contracts.errors import ConfigurationError
from fleet_workers.desk_file import DeskFile, OidcSection, SignInSection
from fleet_workers.store import people
from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.people import Change, Person
from fleet_workers.web.oidc import SingleSignOn
from fleet_workers.web.people import Account, create_person
from fleet_workers.web.resources import ConsoleSettings
from fleet_workers.web.setup import console_settings
from support.databases import temporary_database
from support.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, running_provider
from support.web_server import Site, empty_store, running_site

ROLES = {"desk": "reviewer", "watch": "viewer", "ops": "operator", "boss": "admin"}


@pytest.fixture(scope="module")
def _provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    _provider.reset()
    return _provider


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with temporary_database() as url:
        yield url


def section(provider: Provider, **fields: Any) -> OidcSection:
    given = {
        "issuer": provider.issuer,
        "client_id": CLIENT_ID,
        "client_secret": "OIDC_SECRET",
        "roles": ROLES,
        "tenant": "acme",
        "title": "Example login",
        **fields,
    }
    return OidcSection(**{name: value for name, value in given.items() if value is not None})


@contextmanager
def site_with(database: str, sign_on: SingleSignOn) -> Iterator[Site]:
    settings = ConsoleSettings(sign_in=SignInSection(tries_a_minute=600), single_sign_on=sign_on)
    with running_site(database, console=settings) as site:
        empty_store(site)
        yield site


@pytest.fixture(scope="module")
def _running(database: str, _provider: Provider) -> Iterator[Site]:
    sign_on = SingleSignOn(section(_provider), client_secret=CLIENT_SECRET)
    with site_with(database, sign_on) as site:
        yield site


@pytest.fixture
def site(_running: Site, provider: Provider) -> Site:
    assert provider.sign == "RS256"
    empty_store(_running)
    return _running


@contextmanager
def browser(site: Site) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=site.url, timeout=20) as client:
        yield client


def go_there(client: httpx2.Client, target: str = "/console/agents") -> str:
    """Begin a sign-in and let the provider answer; gives the address it leads back to."""
    there = client.get("/console/oidc/start", params={"next": target})
    assert there.status_code == 303, there.text
    return httpx2.get(there.headers["location"]).headers["location"]


def sign_in(site: Site) -> tuple[httpx2.Response, bool]:
    """Sign in from beginning to end; gives the last answer, and whether the console opens then."""
    with browser(site) as client:
        answer = client.get(go_there(client))
        return answer, client.get("/console").status_code == 200


def refused(site: Site, words: str) -> None:
    answer, is_in = sign_in(site)
    assert answer.status_code == 401
    assert words in answer.text
    assert not is_in
    assert site.count("desk_sessions") == 0


def account(site: Site) -> Person | None:
    with site.engine.begin() as connection:
        found = people.listed(connection, tenant=None, limit=10)
    assert len(found) <= 1
    return found[0] if found else None


def test_somebody_signs_in_and_has_an_account_from_then_on(site: Site, provider: Provider) -> None:
    with browser(site) as client:
        page = client.get("/console/sign-in?next=/console/agents").text
        assert "Continue with Example login" in page
        back = client.get(go_there(client))
        assert back.status_code == 200
        assert 'content="0; url=/console/agents"' in back.text
        session = back.headers.get_list("set-cookie")[0].lower()
        assert "fleet_console=" in session
        assert "samesite=strict" in session
        assert "ann@example.com" in client.get("/console").text
    ann = account(site)
    assert ann is not None
    assert (ann.tenant, ann.role, ann.name, ann.issuer) == (
        "acme",
        "reviewer",
        "Ann",
        provider.issuer,
    )
    assert not ann.has_password
    asked = provider.asked[-1]
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert set(asked["scope"].split()) == {"openid", "email", "profile"}
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3


def test_role_name_and_address_follow_the_provider_and_groups_stay(
    site: Site, provider: Provider
) -> None:
    sign_in(site)
    ann = account(site)
    assert ann is not None
    with site.engine.begin() as connection:
        people.change(connection, ann, Change(groups=("eu",), skills=("refunds",)))
    provider.claims |= {"email": "ann.b@example.com", "groups": ["watch", "boss"], "name": "Ann B"}
    assert sign_in(site)[1]
    again = account(site)
    assert again is not None
    assert (again.id, again.email, again.role, again.name) == (
        ann.id, "ann.b@example.com", "admin", "Ann B",
    )  # fmt: skip
    assert again.groups == ("eu",)


def test_two_first_sign_ins_at_once_make_one_account(site: Site) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: sign_in(site), range(6)))
    assert [is_in for _, is_in in answers] == [True] * 6
    assert account(site) is not None


def test_a_disabled_person_stays_out(site: Site) -> None:
    sign_in(site)
    ann = account(site)
    assert ann is not None
    with site.engine.begin() as connection:
        people.change(connection, ann, Change(disabled=True))
    refused(site, "disabled")


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"groups": ["cooks"]}, "No role is meant for you"),
        ({"groups": []}, "No role is meant for you"),
        ({"groups": None}, "No role is meant for you"),
        ({"groups": {"desk": 1}}, "No role is meant for you"),
        ({"groups": [["desk"], {"a": 1}]}, "No role is meant for you"),
        ({"email": "no address"}, "no e-mail address"),
        ({"email": 7}, "no usable email"),
        ({"email": "x" * 300 + "@example.com"}, "no usable email"),
        ({"email": "a\0b@example.com"}, "no usable email"),
        ({"email_verified": False}, "not verified"),
        ({"email_verified": [], "groups": 1}, "No role"),
        ({"sub": "x" * 256}, "no usable sub"),
        ({"sub": "\0"}, "no usable sub"),
    ],
)
def test_whom_the_claims_do_not_fit_is_refused_with_the_reason(
    site: Site, provider: Provider, claims: dict[str, Any], words: str
) -> None:
    provider.claims |= claims
    refused(site, words)
    assert account(site) is None


def _set(**claims: Any) -> Callable[[dict[str, Any]], None]:
    return lambda told: told.update(claims)


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda told: told.pop(name)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "lie",
    [
        _set(nonce="another"),
        _drop("nonce"),
        _set(aud="another-client"),
        _set(aud="another-client", azp=CLIENT_ID),
        _set(aud=["another-client", "third"], azp=CLIENT_ID),
        _set(aud=[CLIENT_ID, "another-client"], azp="another-client"),
        _drop("aud"),
        _set(iss="https://evil.example"),
        _drop("iss"),
        _set(exp=int(time.time()) - 300),
        _drop("exp"),
        _set(exp="soon"),
        _set(nbf=int(time.time()) + 3600),
        _drop("iat"),
        _drop("sub"),
        _set(at_hash="bm8"),
    ],
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(
    site: Site, provider: Provider, lie: Callable[[dict[str, Any]], None]
) -> None:
    provider.lie = lie
    refused(site, "was not accepted")


@pytest.mark.parametrize("sign", ["none", "HS256", "foreign"])
def test_a_token_that_the_provider_did_not_sign_is_refused(
    site: Site, provider: Provider, sign: str
) -> None:
    provider.sign = sign
    refused(site, "was not accepted")


def test_an_answer_without_an_id_token_is_refused(site: Site, provider: Provider) -> None:
    provider.with_id_token = False
    refused(site, "no ID token")


def test_an_answer_to_another_browsers_sign_in_is_refused(site: Site) -> None:
    with browser(site) as victim, browser(site) as attacker:
        go_there(victim)
        lure = go_there(attacker)
        answer = victim.get(lure)
        assert answer.status_code == 401
        assert "no sign-in of this browser" in answer.text
        assert victim.get("/console").status_code == 303
        fresh = attacker.get(go_there(attacker))
        assert fresh.status_code == 200
    with browser(site) as stranger:
        assert stranger.get(lure).status_code == 401


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=x",
        "state=x&code=y",
        "state=%00%ff&code=%00",
        "error=access_denied",
        "state=" + "x" * 20_000,
        "state=\u00e9",
    ],
)
def test_a_forged_answer_is_refused(site: Site, query: str) -> None:
    with browser(site) as client:
        go_there(client)
        assert client.get(f"/console/oidc/callback?{query}").status_code == 401


@pytest.mark.parametrize("cookie", [".", "a.b", "a.====", "\u00e9.\u00e9", "." + "x" * 3000, "a"])
def test_a_forged_cookie_opens_nothing(site: Site, cookie: str) -> None:
    with browser(site) as client:
        headers = {"Cookie": f"fleet_oidc={cookie}".encode()}
        answer = client.get("/console/oidc/callback?state=x&code=y", headers=headers)
        assert answer.status_code == 401


def test_what_the_provider_refuses_is_told(site: Site) -> None:
    with browser(site) as client:
        state = parse_qs(urlsplit(go_there(client)).query)["state"][0]
        answer = client.get(
            "/console/oidc/callback", params={"state": state, "error": "<b>access_denied</b>"}
        )
    assert answer.status_code == 401
    assert "&lt;b&gt;access_denied" in answer.text


def test_a_code_works_once(site: Site) -> None:
    with browser(site) as client:
        back = go_there(client)
        cookie = client.cookies["fleet_oidc"]
        assert client.get(back).status_code == 200
    with browser(site) as thief:
        thief.cookies.set("fleet_oidc", cookie, path="/console/oidc")
        assert thief.get(back).status_code == 401


def test_a_provider_that_changes_its_keys_is_followed(site: Site, provider: Provider) -> None:
    assert sign_in(site)[1]
    provider.rotate()
    assert sign_in(site)[1]


def test_nobody_takes_over_the_account_of_an_address(site: Site) -> None:
    with site.engine.begin() as connection:
        new = Account(tenant="globex", email="ann@example.com", name="", role="admin")
        create_person(connection, new, by="test")
    answer, is_in = sign_in(site)
    assert answer.status_code == 401
    assert "Another account has your e-mail address" in answer.text
    assert not is_in


def test_an_address_that_the_token_lacks_is_asked_for(site: Site, provider: Provider) -> None:
    email = provider.claims.pop("email")
    provider.told_apart = {"sub": "u-1", "email": email, "groups": ["boss"]}
    assert sign_in(site)[1]
    found = account(site)
    assert found is not None
    assert found.role == "reviewer", "the signed token counts for more than what is told beside it"
    provider.told_apart = {"sub": "u-2", "email": "eve@example.com"}
    refused_now, _ = sign_in(site)
    assert "somebody else" in refused_now.text


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("acme", None),
        ("initech", "not known"),
        ("*", "not known"),
        (None, "no usable"),
        (7, "no usable"),
    ],
)
def test_a_tenant_from_a_claim_must_be_one_that_was_added(
    database: str, provider: Provider, told: object, words: str | None
) -> None:
    provider.claims |= {"company": {"fleet": told}}
    configured = section(provider, tenant=None, tenant_claim="company.fleet")
    with site_with(database, SingleSignOn(configured, client_secret=CLIENT_SECRET)) as site:
        if words is not None:
            refused(site, words)
        else:
            assert sign_in(site)[1]


def test_the_files_own_tenant_may_be_all(database: str, provider: Provider) -> None:
    configured = section(provider, tenant="*", role_claim="realm.roles")
    provider.claims |= {"realm": {"roles": ["ops"]}}
    with site_with(database, SingleSignOn(configured, client_secret=CLIENT_SECRET)) as site:
        answer, is_in = sign_in(site)
        assert is_in, answer.text


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://evil.example"}, "oidc.issuer"),
        ({"id_token_signing_alg_values_supported": ["none", "HS256"]}, "RS256"),
        ({"id_token_signing_alg_values_supported": "none"}, "RS256"),
        ({"authorization_endpoint": None}, "cannot be read"),
    ],
)
def test_a_provider_that_does_not_fit_is_refused_at_the_start_and_once_mended_taken(
    database: str, provider: Provider, metadata: dict[str, Any], words: str
) -> None:
    provider.metadata = metadata
    sign_on = SingleSignOn(section(provider), client_secret=CLIENT_SECRET)
    with site_with(database, sign_on) as site:
        with browser(site) as client:
            answer = client.get("/console/oidc/start")
        assert answer.status_code == 401
        assert words in answer.text
        if "authorization_endpoint" not in metadata:
            provider.metadata = {}
            assert sign_in(site)[1]


def test_a_provider_that_is_away_is_told_apart_from_a_refusal(
    database: str, provider: Provider
) -> None:
    away = section(provider, issuer="http://127.0.0.1:1")
    with (
        site_with(database, SingleSignOn(away, client_secret=CLIENT_SECRET)) as site,
        browser(site) as client,
    ):
        answer = client.get("/console/oidc/start")
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert client.get("/console/sign-in").status_code == 200


def test_a_wrong_secret_is_refused(database: str, provider: Provider) -> None:
    with site_with(database, SingleSignOn(section(provider), client_secret="wrong")) as site:
        refused(site, "was not accepted")


def test_the_way_back_leads_nowhere_else(site: Site) -> None:
    for target in ("https://evil.example", "//evil.example", "/console/..//x", "/x", "\u00e9"):
        with browser(site) as client:
            assert 'content="0; url=/console"' in client.get(go_there(client, target)).text


def test_refusals_and_sign_ins_stand_in_the_audit_trail(site: Site, provider: Provider) -> None:
    provider.claims |= {"groups": ["cooks"]}
    sign_in(site)
    provider.reset()
    sign_in(site)
    query = select(audit_inbox.c.what).order_by(audit_inbox.c.id.desc()).limit(3)
    with site.engine.begin() as connection:
        written = list(connection.execute(query).scalars())
    assert written == [
        "signed in by single sign-on",
        "person added",
        "sign-in by single sign-on refused",
    ]


def test_without_a_provider_there_is_no_way_by_one(database: str) -> None:
    with running_site(database) as site, browser(site) as client:
        assert client.get("/console/oidc/start").headers["location"] == "/console/sign-in"
        assert client.get("/console/oidc/callback?state=x&code=y").status_code == 401
        assert "Continue with" not in client.get("/console/sign-in").text


def test_the_secret_comes_from_the_variable_that_the_file_names(provider: Provider) -> None:
    desk = DeskFile(oidc=section(provider))
    with pytest.raises(ConfigurationError, match="OIDC_SECRET is not set"):
        console_settings(desk, {})
    found = console_settings(desk, {"OIDC_SECRET": "s"})
    assert found.single_sign_on is not None
    assert found.single_sign_on.title == "Example login"
