"""Health, readiness, metrics and the API's own description, also while the store is away."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import httpx2
import pytest

from fleet_workers.resilience.redis_link import RedisAway
from fleet_workers.store.model_use import Use, note_sums
from fleet_workers.web.scrapes import Scrapes
from support.databases import temporary_database
from support.web_server import Site, running_site

PARTS = {"store": "ok", "migrations": "ok"}


@pytest.fixture
def stranded() -> Iterator[Site]:
    nowhere = "postgresql+psycopg://nobody:secret-word@127.0.0.1:1/nowhere"
    with running_site(nowhere) as site:
        yield site


def test_a_well_process_is_up_and_ready(site: Site) -> None:
    assert httpx2.get(f"{site.url}/healthz").json() == {"status": "up"}
    ready = httpx2.get(f"{site.url}/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "parts": PARTS})


def test_a_store_without_tables_is_named() -> None:
    with temporary_database(migrated=False) as url, running_site(url) as site:
        response = httpx2.get(f"{site.url}/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["store"] == "ok"
    assert "fleetctl db upgrade" in response.json()["parts"]["migrations"]


def test_without_a_store_callers_are_asked_to_come_back(stranded: Site) -> None:
    assert httpx2.get(f"{stranded.url}/healthz").status_code == 200
    ready = httpx2.get(f"{stranded.url}/readyz")
    assert (ready.status_code, ready.json()["parts"]["store"]) == (503, "cannot be reached")
    headers = {"Authorization": "Bearer fleet_any"}
    response = httpx2.post(f"{stranded.url}/v1/tasks", headers=headers, json={"input": "x"})
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in response.text
    assert "fleet_store_up 0.0" in httpx2.get(f"{stranded.url}/metrics").text
    page = httpx2.post(f"{stranded.url}/console/sign-in", data={"key": "fleet_any"})
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")


def test_what_breaks_tells_nothing_of_the_inside() -> None:
    with temporary_database(migrated=False) as url, running_site(url) as site:
        headers = {"Authorization": "Bearer fleet_any"}
        response = httpx2.get(f"{site.url}/v1/tasks", headers=headers)
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["content-type"] == "application/problem+json"
    assert "api_keys" not in response.text


def test_metrics_count_what_is_in_the_store(site: Site) -> None:
    site.claimed()
    site.parked("Not sure.")
    with site.client() as client:
        client.post("/v1/tasks", json={"input": "Where is my money?"})
    text = httpx2.get(f"{site.url}/metrics").text
    assert 'fleet_tasks{agent="billing",state="running"} 1.0' in text
    assert 'fleet_tasks{agent="billing",state="in_review"} 1.0' in text
    assert 'fleet_tasks{agent="auto",state="queued"} 1.0' in text
    for line in (
        "reviews_waiting 1.0",
        "dead_letters 0.0",
        "outbox_waiting 1.0",
        "deliveries_waiting 0.0",
        "deliveries_given_up 0.0",
        "store_up 1.0",
    ):
        assert f"fleet_{line}" in text


def test_metrics_tell_what_models_took_and_saved_and_no_tenant(site: Site) -> None:
    use = Use(
        tenant="acme",
        agent="billing",
        model='say "hi"',
        tier="small",
        source="batch",
        prompt_tokens=1000,
        completion_tokens=50,
        cached_tokens=400,
        cost_usd=Decimal("0.25"),
        saved_usd=Decimal("0.5"),
    )
    with site.engine.begin() as connection:
        for each in (use, replace(use, tenant="secret-tenant", cost_usd=None)):
            note_sums(connection, {each.key: each.sums})
    text = httpx2.get(f"{site.url}/metrics").text
    agent, model = 'agent="billing"', r'model="say \"hi\"",source="batch",tier="small"'
    for name, value in (("calls", 2), ("unpriced", 1), ("cost_usd", 0.25), ("saved_usd", 1.0)):
        assert f"fleet_model_{name}_today{{{agent},{model}}} {float(value)}" in text
    for kind, value in (("input", 2000), ("cached", 800), ("output", 100)):
        line = f'fleet_model_tokens_today{{{agent},kind="{kind}",{model}}}'
        assert f"{line} {float(value)}" in text
    assert "secret-tenant" not in text


def _away() -> list[str]:
    raise RedisAway("down")


@pytest.mark.parametrize(("read", "shown"), [(lambda: ["m at http://x/v1"], True), (_away, False)])
def test_metrics_name_models_that_are_not_served(
    site: Site, read: Callable[[], list[str]], shown: bool
) -> None:
    figures = Scrapes(replace(site.resources, read_unserved=read)).read()
    assert (list(figures.unserved_models) == ["m at http://x/v1"]) is shown


def test_the_description_is_complete(site: Site) -> None:
    document = httpx2.get(f"{site.url}/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    names = document["components"]["schemas"]
    assert "tenant" not in names["TaskSubmission"]["required"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                assert operation["security"] == [{"key": []}], path
                assert {"401", "403", "422", "503"} <= set(operation["responses"]), path
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in names


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield str(value)
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
