"""An id of another tenant is answered like one that nobody has, on every route that takes one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text

from fleet_workers.store.tables import metadata
from fleet_workers.web import create_app
from support.populated import Population, populate
from support.web_server import Site, empty_store

PAUSE = {"reason": "r"}
# Every route with a parameter in its path, with a body that it takes.
CASES: Mapping[tuple[str, str], object] = {
    ("GET", "/v1/tasks/{task_id}"): None,
    ("GET", "/v1/tasks/{task_id}/journal"): None,
    ("GET", "/v1/tasks/{task_id}/events"): None,
    ("POST", "/v1/tasks/{task_id}/cancel"): None,
    ("POST", "/v1/tasks/{task_id}/feedback"): {"rating": "bad", "comment": "c", "flag": True},
    ("POST", "/v1/tasks/{task_id}/feedback-link"): None,
    ("GET", "/v1/reviews/{review_id}"): None,
    ("POST", "/v1/reviews/{review_id}/claim"): {"minutes": 5},
    ("POST", "/v1/reviews/{review_id}/release"): None,
    ("POST", "/v1/reviews/{review_id}/approve"): None,
    ("POST", "/v1/reviews/{review_id}/edit"): {"answer": "a"},
    ("POST", "/v1/reviews/{review_id}/reject"): {"reason": "r", "end": True},
    ("POST", "/v1/reviews/{review_id}/answer"): {"answer": "a"},
    ("POST", "/v1/reviews/{review_id}/ask"): {"question": "q"},
    ("POST", "/v1/reviews/{review_id}/reassign"): {"reason": "r", "group": "first"},
    ("GET", "/v1/dead-letters/replays/{job_id}"): None,
    ("GET", "/v1/dead-letters/{letter_id}"): None,
    ("POST", "/v1/dead-letters/{letter_id}/discard"): {"reason": "r"},
    ("GET", "/v1/schedules/{schedule_id}"): None,
    ("GET", "/v1/schedules/{schedule_id}/next"): None,
    ("PATCH", "/v1/schedules/{schedule_id}"): {"enabled": False},
    ("POST", "/v1/schedules/{schedule_id}/run"): None,
    ("DELETE", "/v1/schedules/{schedule_id}"): None,
    ("GET", "/v1/erasures/{erasure_id}"): None,
    ("DELETE", "/v1/keys/{key_id}"): None,
    ("PATCH", "/v1/people/{person_id}"): {"name": "Mallory", "password": "four plain words here"},
    ("POST", "/v1/tenants/{name}/pause"): PAUSE,
    ("POST", "/v1/tenants/{name}/resume"): None,
}
NO_TENANTS = {
    ("POST", "/v1/agents/{name}/pause"): "agents are the fleet's",
    ("POST", "/v1/agents/{name}/resume"): "agents are the fleet's",
    ("POST", "/v1/tools/{name}/disable"): "tools are the fleet's",
    ("POST", "/v1/tools/{name}/enable"): "tools are the fleet's",
}
# The same route with other words, or with the id elsewhere than in the path.
ELSEWHERE: Mapping[str, tuple[str, str, str, object]] = {
    "edit the arguments": ("POST", "/v1/reviews/{}/edit", "review_id", {"arguments": {"a": 1}}),
    "to another agent": (
        "POST",
        "/v1/reviews/{}/reassign",
        "review_id",
        {"reason": "r", "agent": "onboarding"},
    ),
    "to a person": (
        "POST",
        "/v1/reviews/{}/reassign",
        "review_id",
        {"reason": "r", "person": "eve@acme.test"},
    ),
    "list of reviews": ("GET", "/v1/reviews?task={}", "task_id", None),
    "list of letters": ("GET", "/v1/dead-letters?state=all&task_id={}", "task_id", None),
    "replay": ("POST", "/v1/dead-letters/replay", "letter_id", {"ids": ["{}"]}),
}


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Two tenants with one of everything. Nobody here changes acme's; one test changes globex's."""

    site: Site
    acme: Population
    globex: Population


@pytest.fixture(scope="module")
def neighbours(_running: Site) -> Neighbours:
    empty_store(_running)
    return Neighbours(
        site=_running, acme=populate(_running, "acme"), globex=populate(_running, "globex")
    )


@pytest.fixture
def intruder(neighbours: Neighbours) -> Iterator[httpx2.Client]:
    before = kept(neighbours.site)
    assert sum(each is not None for each in before.values()) > 8, before
    with neighbours.site.client("admin", "globex") as client:
        yield client
    assert kept(neighbours.site) == before, "something of acme was changed"


def kept(site: Site) -> dict[str, str | None]:
    """Digests of all rows of acme, table by table."""
    tables = [each.name for each in metadata.tables.values() if "tenant" in each.columns]
    with site.engine.connect() as connection:
        return {
            each: connection.execute(
                text(
                    f"SELECT md5(string_agg(row::text, '|' ORDER BY row::text)) FROM {each} AS row "  # noqa: S608 our own names
                    "WHERE tenant = 'acme'"
                )
            ).scalar_one()
            for each in tables
        }


def test_every_route_with_an_id_has_a_case(neighbours: Neighbours) -> None:
    document = create_app(neighbours.site.resources).openapi()
    found = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if "{" in path
    }
    assert found == set(CASES) | set(NO_TENANTS)


@pytest.mark.parametrize(("method", "path"), CASES)
def test_another_tenants_id_is_answered_like_an_unknown_one(
    neighbours: Neighbours, intruder: httpx2.Client, method: str, path: str
) -> None:
    body = CASES[method, path]
    name = path.partition("{")[2].partition("}")[0]
    if name == "name":
        foreign, unknown, status = ["acme"], "nobody", 422
    else:
        foreign, unknown, status = (
            [str(each) for each in neighbours.acme.of(name)],
            str(uuid4()),
            404,
        )
    nothing = answer(intruder, method, path.replace(f"{{{name}}}", unknown), body, unknown)
    assert nothing[0] == status
    for each in foreign:
        assert answer(intruder, method, path.replace(f"{{{name}}}", each), body, each) == nothing


@pytest.mark.parametrize("case", ELSEWHERE)
def test_another_tenants_id_elsewhere_is_answered_like_an_unknown_one(
    neighbours: Neighbours, intruder: httpx2.Client, case: str
) -> None:
    method, path, name, body = ELSEWHERE[case]
    told = []
    for each in (uuid4(), *neighbours.acme.of(name)):
        said = json.loads(json.dumps(body).replace("{}", str(each)))
        told.append(answer(intruder, method, path.format(each), said, str(each)))
    assert all(each == told[0] for each in told)
    assert told[0][0] in {200, 404}


def test_the_same_requests_reach_ones_own(neighbours: Neighbours) -> None:
    """Or else the tests above would pass for requests that nobody may make."""
    with neighbours.site.client("admin", "globex") as client:
        for (method, path), body in CASES.items():
            name = path.partition("{")[2].partition("}")[0]
            ids = ("globex",) if name == "name" else neighbours.globex.of(name)
            now = {"seconds": 0} if path.endswith("/events") else None  # a stream would stay open
            reached = {
                client.request(
                    method, path.replace(f"{{{name}}}", str(each)), json=body, params=now
                ).status_code
                for each in ids
            }
            assert not reached & {403, 404}, path


def answer(
    client: httpx2.Client, method: str, path: str, body: object, named: str
) -> tuple[int, str, list[tuple[str, str]]]:
    """What is answered, but for the id that was named and for what differs with every answer."""
    got = (
        client.request(method, path, json=body)
        if body is not None
        else client.request(method, path)
    )
    headers = [
        (name, value)
        for name, value in got.headers.items()
        if name not in {"date", "content-length"}
    ]
    return got.status_code, got.text.replace(named, "ID"), sorted(headers)
