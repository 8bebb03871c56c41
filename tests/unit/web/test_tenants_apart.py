"""Over HTTP and in the console, PostgreSQL keeps tenants apart where a query forgets to."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from sqlalchemy import select

from fleet_workers.store import dead_letters, replays, review_queue, reviews, tasks, views
from fleet_workers.store.audit_tables import audit_inbox
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.store.tables import pauses
from support.web_server import Site

FORGETFUL = (views, reviews, dead_letters, replays)


def forgetting(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        return function(*given, **{**named, "tenant": None})

    return call


@pytest.fixture
def forgetful(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site on which no query knows of tenants any more."""
    patched = 0
    for module in FORGETFUL:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__
            if (
                own
                and "tenant" in inspect.signature(function).parameters
                and name not in {"add", "visible"}
            ):
                monkeypatch.setattr(module, name, forgetting(function))
                patched += 1
    monkeypatch.setattr(dead_letters, "_of_tenant", lambda _: [])
    for module in (reviews, review_queue):
        monkeypatch.setattr(module, "visible", lambda *_: [])
    assert patched >= 9
    return site


class Neighbour:
    """All that globex has, which acme must not see."""

    def __init__(self, site: Site) -> None:
        held = site.claimed(tenant="globex")
        site.journal(held, said="globex's words")
        self.task = held.task_id
        self.review = site.parked("globex's reason", tenant="globex").id
        with site.engine.begin() as connection:
            self.letter = dead_letters.add(
                connection, reason="globex's reason", error="e", body="{}", tenant="globex"
            ).id
            dead_letters.add(connection, reason="nobody's reason", error="e", body="{}")
            wanted = DeadLetterFilter(tenant="globex")
            self.replay = replays.request(connection, wanted, per_second=1, by="p").id


def test_without_a_single_condition_a_key_sees_its_tenant_only(forgetful: Site) -> None:
    other = Neighbour(forgetful)
    own = forgetful.accepted("acme")
    with forgetful.client("operator") as client:
        listed = client.get("/v1/tasks").json()["tasks"]
        assert [each["id"] for each in listed] == [str(own)]
        assert client.get("/v1/reviews").json()["reviews"] == []
        letters = client.get("/v1/dead-letters").json()
        assert (letters["dead_letters"], letters["unsettled"]) == ([], 0)
        assert client.get("/v1/dead-letters?group=cause").json()["causes"] == []
        for path in (
            f"/v1/tasks/{other.task}",
            f"/v1/tasks/{other.task}/journal",
            f"/v1/reviews/{other.review}",
            f"/v1/dead-letters/{other.letter}",
            f"/v1/dead-letters/replays/{other.replay}",
        ):
            assert client.get(path).status_code == 404, path
    with forgetful.client("operator", "globex") as client:
        assert len(client.get("/v1/tasks").json()["tasks"]) == 2
        assert client.get(f"/v1/reviews/{other.review}").status_code == 200
    with forgetful.client("operator", "*") as client:
        assert len(client.get("/v1/tasks").json()["tasks"]) == 3


def test_without_a_single_condition_nothing_of_a_neighbour_is_changed(forgetful: Site) -> None:
    other = Neighbour(forgetful)
    with forgetful.client("operator") as client:
        for path, body in (
            (f"/v1/tasks/{other.task}/cancel", None),
            (f"/v1/reviews/{other.review}/answer", {"answer": "a"}),
            (f"/v1/dead-letters/{other.letter}/discard", {"reason": "r"}),
        ):
            assert client.post(path, json=body).status_code == 404, path
        replayed = client.post("/v1/dead-letters/replay", json={"ids": [str(other.letter)]})
        assert replayed.json()["results"][0]["status"] == "refused"
        job = client.post("/v1/dead-letters/replay", json={"filter": {}}).json()
        assert (job["tenant"], job["matched"]) == ("acme", 0)
    with forgetful.client("operator", "globex") as client:
        assert client.get(f"/v1/tasks/{other.task}").json()["state"] == "running"
        assert client.get("/v1/reviews").json()["waiting"] == 1
        assert client.get("/v1/dead-letters").json()["unsettled"] == 1


@pytest.mark.parametrize(
    "page", ["", "/tasks", "/reviews", "/dead-letters", "/tasks/{task}", "/reviews/{review}"]
)
def test_without_a_single_condition_no_page_shows_a_neighbour(forgetful: Site, page: str) -> None:
    other = Neighbour(forgetful)
    path = page.format(task=other.task, review=other.review)
    with forgetful.browser("operator", "acme") as browser:
        shown = browser.get(f"/console{path}")
    assert shown.status_code == (404 if "{" in page else 200)
    named = {other.review} if "{review}" in page else set()
    for secret in {"globex", other.review, other.letter} - named:
        assert str(secret) not in shown.text


def test_a_cancel_that_forgets_its_condition_reaches_no_neighbour(site: Site) -> None:
    other = Neighbour(site)
    resources = site.resources.for_request()
    resources.show_only("acme")
    with resources.transaction() as connection:
        assert not tasks.cancel(connection, other.task, tenant="globex")
    with site.resources.transaction() as connection:
        assert tasks.cancel(connection, other.task, tenant="globex")


def test_what_a_tenants_key_does_stands_in_the_trail(site: Site) -> None:
    item = site.parked("Is this right?")
    with site.client("operator") as client:
        reason = {"reason": "Too slow."}
        assert client.post("/v1/agents/billing/pause", json=reason).status_code == 200
        assert client.post("/v1/agents/billing/resume").json() == {"was_paused": True}
        answer = client.post(f"/v1/reviews/{item.id}/answer", json={"answer": "Ann's money"})
        assert answer.status_code == 200
    with site.engine.begin() as connection:
        mine = audit_inbox.c.who == "acme operator"
        rows = connection.execute(select(audit_inbox).where(mine).order_by(audit_inbox.c.id)).all()
        assert connection.execute(select(pauses)).all() == []
    said = [(row.kind, row.what, row.why, row.tenant) for row in rows[-3:]]
    assert said == [
        ("pause", "paused", "Too slow.", "acme"),
        ("pause", "resumed", "", "acme"),
        ("decision", "low_confidence answer", "", "acme"),
    ]
    assert rows[-1].task_id == item.task_id
    assert "Ann" not in str(rows[-1])
