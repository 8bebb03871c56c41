"""Forms: only those of the own session count, and no bytes that a browser sends break them."""

import base64
import hmac
import json
from urllib.parse import urlencode

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contracts.errors import InvalidInput
from fleet_workers.web.console.forms import parse_form
from support.web_server import Site, csrf_of, send_form

SIGN_OUT = "/console/sign-out"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def signed_in(browser: httpx2.Client) -> bool:
    return "Overview" in browser.get("/console").text


def test_a_form_needs_the_token_of_its_own_session(site: Site) -> None:
    with site.browser() as browser, site.browser() as other:
        foreign = csrf_of(other)
        assert foreign != csrf_of(browser)
        for form in ({}, {"csrf": ""}, {"csrf": "\xe9"}, {"csrf": "0" * 64}, {"csrf": foreign}):
            response = browser.post(SIGN_OUT, data=form)
            assert response.status_code == 403, form
            assert "reload the page" in response.text
        assert signed_in(browser)
        assert send_form(browser, SIGN_OUT).status_code == 200
        assert not signed_in(browser)


def test_a_form_without_a_session_leads_to_the_sign_in(site: Site) -> None:
    response = httpx2.post(site.url + SIGN_OUT, data={"csrf": "0" * 64})
    assert response.status_code == 303
    assert response.headers["location"].startswith("/console/sign-in")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"key=%00", FORM, 422),
        (b"%00=key", FORM, 422),
        (b"key=\x00", FORM, 422),
        (b"key=%ff%fe", FORM, 422),
        (b"key=\xff\xfe", FORM, 422),
        (b"a=&" * 1001, FORM, 422),
        (b"key=" + b"x" * 65_533, FORM, 413),
        (b"{}", {"Content-Type": "application/json"}, 422),
        (b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 422),
        (b"", FORM, 401),
        (b"&&==%", {"Content-Type": "APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8"}, 401),
    ],
)
def test_what_is_no_form_is_refused(
    site: Site, body: bytes, headers: dict[str, str], status: int
) -> None:
    response = httpx2.post(f"{site.url}/console/sign-in", content=body, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")


@given(st.binary(max_size=300))
def test_any_bytes_give_fields_or_a_refusal(body: bytes) -> None:
    try:
        fields = parse_form(body)
    except InvalidInput:
        return
    for name in fields.values:
        assert "\0" not in name + "".join(fields.all(name))
        assert fields.get(name) == fields.all(name)[0]


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(_TEXT, st.lists(_TEXT, min_size=1, max_size=3), max_size=5))
def test_what_was_typed_is_what_is_read(said: dict[str, list[str]]) -> None:
    fields = parse_form(urlencode(said, doseq=True).encode())
    assert {name: fields.all(name) for name in said} == {
        name: [text.strip() for text in texts] for name, texts in said.items()
    }
    assert fields.get("no field has this name") == ""


@pytest.mark.parametrize("said", [["Call 555", "good", "", ""], "no list", []])
def test_nobody_without_a_session_can_put_words_on_a_page(site: Site, said: object) -> None:
    packed = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
    signature = hmac.digest(b"", b"fleet console flash\0" + packed.encode(), "sha256").hex()
    cookies = {"fleet_flash": f"{packed}.{signature}"}
    response = httpx2.get(f"{site.url}/console/sign-in", cookies=cookies)
    assert response.status_code == 200
    assert "Call 555" not in response.text
