"""Bodies and addresses that break careless servers: NUL, surrogates, depth, size, no UTF-8."""

import json

import httpx2
import pytest

from support.desk import open_item
from support.populated import populate
from support.web_server import Site

JSON = {"Content-Type": "application/json"}
PAUSE = "/v1/agents/billing/pause"


def send(site: Site, path: str, body: bytes) -> httpx2.Response:
    with site.client("admin", "*") as client:
        return client.post(path, content=body, headers=JSON)


def nested(depth: int) -> bytes:
    return b'{"arguments":{"a":' + b"[" * depth + b"]" * depth + b"}}"


@pytest.mark.parametrize(("said", "kept"), [(rb"a\u0000b", "a␀b"), (rb"\ud83d\ude00", "😀")])
def test_texts_come_back_as_the_store_keeps_them(site: Site, said: bytes, kept: str) -> None:
    answer = send(site, PAUSE, b'{"reason":"' + said + b'"}')
    assert (answer.status_code, answer.json()["reason"]) == (200, kept)
    with site.client("operator", "*") as client:
        assert client.get("/v1/pauses").json()["pauses"][0]["reason"] == kept


def test_a_reason_to_discard_and_a_filter_may_hold_nul(site: Site) -> None:
    letter = populate(site, "acme").letter_id[0]
    replay = send(site, "/v1/dead-letters/replay", b'{"filter":{"error":"a\\u0000b"}}')
    assert (replay.status_code, replay.json()["matched"]) == (202, 0)
    discard = send(site, f"/v1/dead-letters/{letter}/discard", b'{"reason":"a\\u0000b"}')
    assert (discard.status_code, discard.json()["settled_reason"]) == (200, "a␀b")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PAUSE, rb'{"reason":"a\ud800"}'),
        ("/v1/keys", rb'{"role":"viewer","tenant":"acme","label":"a\udfff"}'),
        ("/v1/keys", rb'{"role":"viewer","tenant":"a\ud800","label":"a"}'),
        ("/v1/people", rb'{"role":"viewer","tenant":"acme\ud800","email":"a@b.test"}'),
        ("/v1/keys", rb'{"role":"viewer","tenant":"acme\u0000","label":"a"}'),
        ("/v1/keys", rb'{"role":"viewer","tenant":"acme","label":"a\u0000"}'),
        ("/v1/dead-letters/replay", rb'{"filter":{"cause":"\ud800"}}'),
    ],
)
def test_what_is_no_text_or_no_name_is_refused(site: Site, path: str, body: bytes) -> None:
    answer = send(site, path, body)
    assert (answer.status_code, answer.json()["code"].split("_")[0]) in {
        (422, "invalid"),
        (422, "unknown"),
    }


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tenants/%00/pause",
        "/v1/tools/%00/enable",
        "/v1/reviews/%00/claim",
        "/v1/tasks/bulk?a=%00",
    ],
)
def test_an_address_with_nul_is_refused(site: Site, path: str) -> None:
    answer = send(site, path, b'{"reason":"r"}')
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"\xff", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"[]", 400, "malformed_json"),
        (b'{"arguments":{"a":NaN}}', 400, "malformed_json"),
        (b'{"arguments":{"a":1e999}}', 400, "malformed_json"),
        (b'{"arguments":{"a":' + b"9" * 5000 + b"}}", 400, "malformed_json"),
        (nested(101), 400, "malformed_json"),
        (nested(450), 400, "malformed_json"),
        (nested(100_000), 400, "malformed_json"),
        (nested(90), 422, "invalid_input"),
        (b"", 422, "invalid_input"),
        (b'{"answer":"' + b"x" * 600_000 + b'"}', 413, "too_large"),
    ],
)
def test_what_is_no_small_json_object_is_refused(
    site: Site, body: bytes, status: int, code: str
) -> None:
    item = open_item(site)
    answer = send(site, f"/v1/reviews/{item.id}/edit", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_longest_answer_fits_however_it_is_written(site: Site) -> None:
    item = open_item(site, answer="Booked twice.")
    body = json.dumps({"answer": "😀" * 20_000}).encode()
    assert len(body) > 240_000
    answer = send(site, f"/v1/reviews/{item.id}/answer", body)
    assert answer.status_code == 200, answer.text
