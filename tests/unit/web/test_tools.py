"""Tools over HTTP: who may disable them, for whom, and what is listed."""

from typing import Any

import httpx2
import pytest

from fleet_workers.store import switches
from support.web_server import Site


def switched(client: httpx2.Client, tool: str, agent: str = "billing") -> list[dict[str, Any]]:
    """The switches of an agent's tool, as the list shows them."""
    tools = client.get("/v1/tools").json()["tools"]
    found = next(each for each in tools if (each["name"], each["agent"]) == (tool, agent))
    switches: list[dict[str, Any]] = found["switches"]
    return switches


@pytest.fixture
def tool(site: Site) -> str:
    """A tool of billing that no other agent has."""
    others = {
        each.name
        for release in site.resources.catalogue
        for each in release.tools
        if release.name != "billing"
    }
    ours = site.resources.catalogue.get("billing").tools
    return next(each.name for each in ours if each.name not in others)


def test_a_key_of_the_fleet_disables_a_tool_for_all(site: Site, tool: str) -> None:
    with site.client("operator", "*") as client:
        answer = client.post(f"/v1/tools/{tool}/disable", json={"reason": "wrong amounts"})
        assert answer.status_code == 200
        set_by = answer.json()
        assert (set_by["tenant"], set_by["agent"], set_by["reason"]) == ("*", "*", "wrong amounts")
        assert set_by["disabled_by"] == "* operator"
        again = client.post(f"/v1/tools/{tool}/disable", json={"reason": "another"}).json()
        assert again["reason"] == "wrong amounts"
    with site.client("viewer", "globex") as client:
        assert [each["reason"] for each in switched(client, tool)] == ["wrong amounts"]
    with site.client("operator", "*") as client:
        assert client.post(f"/v1/tools/{tool}/enable").json() == {"was_disabled": True}
        assert client.post(f"/v1/tools/{tool}/enable").json() == {"was_disabled": False}
        assert switched(client, tool) == []


def test_a_tenants_operator_disables_it_for_its_own_tenant_only(site: Site, tool: str) -> None:
    with site.client("operator", "*") as client:
        client.post(f"/v1/tools/{tool}/disable", json={"reason": "for all"})
    with site.client("operator") as client:
        ours = client.post(f"/v1/tools/{tool}/disable", json={"reason": "ours"}).json()
        assert ours["tenant"] == "acme"
        other = {"reason": "x", "tenant": "globex"}
        refused = client.post(f"/v1/tools/{tool}/disable", json=other)
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_tenant")
        refused = client.post(f"/v1/tools/{tool}/enable", json={"tenant": "*"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_tenant")
        assert client.post(f"/v1/tools/{tool}/enable").json() == {"was_disabled": True}
        assert [each["reason"] for each in switched(client, tool)] == ["for all"]
    with site.client("operator", "globex") as client:
        assert client.post(f"/v1/tools/{tool}/enable").json() == {"was_disabled": False}
        assert [each["reason"] for each in switched(client, tool)] == ["for all"]


def test_one_agent_or_one_tenant_can_be_named(site: Site, tool: str) -> None:
    body = {"reason": "x", "agent": "billing", "tenant": "acme"}
    with site.client("operator", "*") as client:
        answer = client.post(f"/v1/tools/{tool}/disable", json=body).json()
        assert (answer["agent"], answer["tenant"]) == ("billing", "acme")
        scope = {"agent": "billing", "tenant": "acme"}
        assert not client.post(f"/v1/tools/{tool}/enable").json()["was_disabled"]
        assert client.post(f"/v1/tools/{tool}/enable", json=scope).json()["was_disabled"]
        nobody = {"reason": "x", "tenant": "nobody"}
        refused = client.post(f"/v1/tools/{tool}/disable", json=nobody)
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_tenant")


def test_unknown_tools_and_agents_are_refused(site: Site, tool: str) -> None:
    with site.client("operator", "*") as client:
        unknown = client.post("/v1/tools/nothing/disable", json={"reason": "x"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_tool")
        assert tool in unknown.json()["detail"]
        body = {"reason": "x", "agent": "onboarding"}
        elsewhere = client.post(f"/v1/tools/{tool}/disable", json=body)
        assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "unknown_tool")
        body = {"reason": "x", "agent": "nobody"}
        agent = client.post(f"/v1/tools/{tool}/disable", json=body)
        assert (agent.status_code, agent.json()["code"]) == (422, "unknown_agent")
        assert client.post("/v1/tools/nothing/enable").status_code == 404


def test_the_switch_of_a_tool_that_is_gone_can_be_taken_back(site: Site) -> None:
    with site.engine.begin() as connection:
        switches.disable(
            connection, tool="gone", tenant="*", agent="*", reason="x", disabled_by="ann"
        )
    with site.client("operator", "*") as client:
        assert client.post("/v1/tools/gone/enable").json() == {"was_disabled": True}


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "x", "a": 1}]
)
def test_a_reason_is_required(site: Site, tool: str, body: dict[str, object]) -> None:
    with site.client("operator") as client:
        assert client.post(f"/v1/tools/{tool}/disable", json=body).status_code == 422


def test_names_that_no_store_can_hold_are_refused(site: Site, tool: str) -> None:
    with site.client("operator", "*") as client:
        for scope in ({"agent": "\0"}, {"tenant": "\0"}, {"agent": ""}, {"tenant": "x" * 201}):
            assert client.post(f"/v1/tools/{tool}/enable", json=scope).status_code == 422
        assert client.post("/v1/tools/a%00b/enable").status_code == 422


@pytest.mark.parametrize("role", ["producer", "viewer", "reviewer"])
def test_only_operators_may_switch(site: Site, tool: str, role: str) -> None:
    with site.client(role) as client:
        for change in ("disable", "enable"):
            refused = client.post(f"/v1/tools/{tool}/{change}", json={"reason": "x"})
            assert refused.status_code == 403
        may_read = client.get("/v1/tools").status_code
    assert may_read == (403 if role == "producer" else 200)
