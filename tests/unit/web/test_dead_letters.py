"""Dead letters over HTTP: who sees what, and who may replay and discard."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.controller.ports import Ports
from fleet_workers.deadletters.bulk import work_replays
from fleet_workers.store.dead_letters import DeadLetter
from fleet_workers.testing import ScriptedModel, answer
from fleet_workers.testing.tools import FakeTools
from fleet_workers.web import create_app
from support.asgi_server import serving
from support.graveyard import Graveyard, Postbag
from support.web_server import Site

PATH = "/v1/dead-letters"


@pytest.fixture
def graveyard(site: Site) -> Graveyard:
    return Graveyard(engine=site.engine, catalogue=site.resources.catalogue)


def dead(graveyard: Graveyard, **fields: Any) -> DeadLetter:
    return graveyard.dead(**{"agent": "billing", **fields})


def test_letters_are_filtered_paged_and_grouped(site: Site, graveyard: Graveyard) -> None:
    letters = [dead(graveyard, error=f"No invoice inv_{n}.") for n in range(5)]
    other = dead(graveyard, error="Refused.", reason="policy")
    with site.client("viewer") as client:
        found = client.get(PATH, params={"error": "no INVOICE", "limit": 3}).json()
        assert found["unsettled"] == 6
        rest = client.get(PATH, params={"error": "no INVOICE", "before": found["next"]}).json()
        ids = [each["id"] for each in found["dead_letters"] + rest["dead_letters"]]
        assert ids == [str(letter.id) for letter in reversed(letters)]
        assert rest["next"] is None
        groups = client.get(PATH, params={"group": "cause"}).json()["causes"]
        assert [each["letters"] for each in groups] == [5, 1]
        of_cause = client.get(PATH, params={"cause": groups[0]["cause"], "limit": 200}).json()
        assert len(of_cause["dead_letters"]) == 5
        one = client.get(f"{PATH}/{other.id}").json()
        assert (one["reason"], one["settled_at"]) == ("policy", None)


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"since": "yesterday"}, {"colour": "red"}, {"before": "x"}]
)
def test_a_query_that_is_wrong_is_named(site: Site, query: dict[str, Any]) -> None:
    with site.client("viewer") as client:
        response = client.get(PATH, params=query)
    assert (response.status_code, response.json()["status"]) == (422, 422)
    assert next(iter(query)) in response.json()["detail"]


def test_a_tenant_sees_and_touches_its_own_only(site: Site, graveyard: Graveyard) -> None:
    theirs = dead(graveyard, tenant="globex")
    nobodys = graveyard.letter(reason="invalid_envelope", error="?", body="{")
    with site.client("operator") as client:
        assert client.get(PATH).json()["dead_letters"] == []
        for letter in (theirs, nobodys):
            assert client.get(f"{PATH}/{letter.id}").json()["code"] == "unknown_dead_letter"
            discarded = client.post(f"{PATH}/{letter.id}/discard", json={"reason": "x"})
            assert discarded.status_code == 404
            replayed = client.post(f"{PATH}/replay", json={"ids": [str(letter.id)]}).json()
            assert replayed["results"][0]["error"]["code"] == "unknown_dead_letter"
        assert client.get(PATH, params={"tenant": "globex"}).status_code == 403
        job = client.post(f"{PATH}/replay", json={"filter": {}}).json()
        assert job["matched"] == 0
    assert graveyard.read(theirs).settled_at is None
    with site.client("viewer", "*") as everyone:
        assert len(everyone.get(PATH).json()["dead_letters"]) == 2
        only = everyone.get(PATH, params={"tenant": "globex"}).json()["dead_letters"]
        assert [each["id"] for each in only] == [str(theirs.id)]
    with site.client("viewer", "globex") as client:
        assert client.get(f"{PATH}/replays/{job['id']}").json()["code"] == "unknown_replay"


@pytest.mark.parametrize(
    ("role", "reads", "acts"),
    [
        ("producer", False, False),
        ("viewer", True, False),
        ("reviewer", True, False),
        ("operator", True, True),
        ("admin", True, True),
    ],
)
def test_roles(site: Site, graveyard: Graveyard, role: str, reads: bool, acts: bool) -> None:
    letter, other = dead(graveyard), dead(graveyard)
    with site.client(role) as client:
        assert client.get(f"{PATH}/{letter.id}").status_code == (200 if reads else 403)
        replayed = client.post(f"{PATH}/replay", json={"ids": [str(letter.id)]})
        assert replayed.status_code == (200 if acts else 403)
        discarded = client.post(f"{PATH}/{other.id}/discard", json={"reason": "A test."})
        assert discarded.status_code == (200 if acts else 403)
    assert (graveyard.read(letter).settled_as == "replayed") is acts
    assert graveyard.read(other).settled_reason == ("A test." if acts else None)


def test_ids_are_replayed_at_once_and_twice_is_once(site: Site, graveyard: Graveyard) -> None:
    letter, gone = dead(graveyard), dead(graveyard, agent="long_gone")
    ids = [str(letter.id), str(gone.id), str(uuid4()), str(letter.id)]
    with site.client("operator") as client:
        first = client.post(f"{PATH}/replay", json={"ids": ids}).json()["results"]
        again = client.post(f"{PATH}/replay", json={"ids": ids[:1]}).json()["results"]
    assert [(each["status"], (each["error"] or {}).get("code")) for each in first] == [
        ("replayed", None),
        ("refused", "unknown_agent"),
        ("refused", "unknown_dead_letter"),
    ]
    assert "billing" in first[1]["error"]["detail"]
    assert again[0]["error"]["code"] == "already_settled"
    assert [each.message.routing_key for each in site.published] == ["agent.billing"]
    assert graveyard.task(letter.task_id).state == "queued"
    assert graveyard.read(letter).settled_by == "acme operator"


def test_a_filter_makes_a_job_that_can_be_followed(site: Site, graveyard: Graveyard) -> None:
    for _ in range(3):
        dead(graveyard, error="It is away.")
    dead(graveyard, error="Refused.")
    body = {"filter": {"error": "away"}, "rate_per_second": 500}
    with site.client("operator") as client:
        asked = client.post(f"{PATH}/replay", json=body)
        assert asked.status_code == 202
        again = client.post(f"{PATH}/replay", json=body)
        assert again.json()["id"] == asked.json()["id"]
        place = asked.headers["location"]
        job = client.get(place).json()
        assert (job["matched"], job["replayed"], job["finished_at"]) == (3, 0, None)
        assert job["filter"] == {**job["filter"], "tenant": "acme", "error": "away"}
        while not job["finished_at"]:
            work_replays(site.engine, Postbag(), graveyard.catalogue)  # type: ignore[arg-type]
            job = client.get(place).json()
        assert (job["replayed"], job["refused"]) == (3, 0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "ids or a filter"),
        ({"ids": []}, "ids"),
        ({"ids": ["x"]}, "ids"),
        ({"ids": [str(UUID(int=1))], "filter": {}}, "ids or a filter"),
        ({"filter": {"colour": "red"}}, "colour"),
        ({"filter": {}, "rate_per_second": 0}, "rate_per_second"),
        ({"ids": [str(uuid4()) for _ in range(21)], "dry_run": True}, "20 ids"),
    ],
)
def test_a_body_that_is_wrong_is_named(site: Site, body: dict[str, Any], words: str) -> None:
    with site.client("operator") as client:
        response = client.post(f"{PATH}/replay", json=body)
    assert (response.status_code, words in response.json()["detail"]) == (422, True), response.text


def test_a_body_that_is_no_json_or_too_long_is_refused(site: Site) -> None:
    with site.client("operator") as client:
        assert client.post(f"{PATH}/replay", content=b"{").status_code == 400
        assert client.post(f"{PATH}/replay", content=b" " * 70_000).status_code == 413
    assert httpx2.post(f"{site.url}{PATH}/replay", content=b"{").status_code == 401


def test_a_settled_letter_cannot_be_discarded(site: Site, graveyard: Graveyard) -> None:
    letter = dead(graveyard)
    with site.client("operator") as client:
        assert client.post(f"{PATH}/{letter.id}/discard", json={}).status_code == 422
        assert client.post(f"{PATH}/{letter.id}/discard", json={"reason": "x"}).status_code == 200
        again = client.post(f"{PATH}/{letter.id}/discard", json={"reason": "x"})
        assert (again.status_code, again.json()["code"]) == (409, "already_settled")
        settled = client.get(PATH, params={"state": "settled"}).json()
        assert settled["dead_letters"][0]["settled_as"] == "discarded"
        assert settled["unsettled"] == 0


# --- dry runs ------------------------------------------------------------------------------------


@contextmanager
def _with_ports(
    site: Site, open_ports: Callable[[], AbstractContextManager[Ports]]
) -> Iterator[httpx2.Client]:
    with serving(create_app(replace(site.resources, open_ports=open_ports))) as url:
        headers = {"Authorization": f"Bearer {site.key('operator')}"}
        with httpx2.Client(base_url=url, headers=headers, timeout=40) as client:
            yield client


def test_a_dry_run_tells_and_does_nothing(site: Site, graveyard: Graveyard) -> None:
    letters = [dead(graveyard), dead(graveyard)]
    running = dead(graveyard)
    graveyard.set_task(running.task_id, state="running")
    ports = Ports(
        model=ScriptedModel([answer("All is well.")]),
        tools=FakeTools({}),
        recall=lambda _: [],
        model_timeout_seconds=5,
    )
    opened: list[str] = []

    @contextmanager
    def open_ports() -> Iterator[Ports]:
        opened.append("open")
        yield ports
        opened.append("closed")

    with _with_ports(site, open_ports) as client:
        response = client.post(f"{PATH}/replay", json={"filter": {}, "dry_run": True})
    found = response.json()
    assert response.status_code == 200
    assert {each["letter_id"] for each in found["dry_runs"]} == {str(each.id) for each in letters}
    assert {each["outcome"]["answer"] for each in found["dry_runs"]} == {"All is well."}
    assert [each["error"]["code"] for each in found["refused"]] == ["not_dead"]
    assert opened == ["open", "closed"]
    assert site.count("outbox") == 0
    assert graveyard.task(letters[0].task_id).state == "dead"


def test_without_a_model_a_dry_run_names_the_setting(site: Site, graveyard: Graveyard) -> None:
    @contextmanager
    def open_ports() -> Iterator[Ports]:
        raise ConfigurationError("FLEET_MODEL_SMALL is not set here.")
        yield

    body = {"ids": [str(dead(graveyard).id)], "dry_run": True}
    with _with_ports(site, open_ports) as client:
        response = client.post(f"{PATH}/replay", json=body)
    assert (response.status_code, response.json()["code"]) == (501, "not_set_up")
    assert "FLEET_MODEL_SMALL" in response.json()["detail"]
    with site.client("operator") as client:
        assert client.post(f"{PATH}/replay", json=body).status_code == 501
