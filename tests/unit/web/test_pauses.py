"""Pausing and resuming over HTTP: who may, for whom, and what is answered."""

import pytest

from fleet_workers.store import claims, tasks
from support.web_server import HOLDER, Site


def test_a_tenants_operator_pauses_an_agent_for_its_own_tenant_only(site: Site) -> None:
    with site.client("operator") as client:
        paused = client.post("/v1/agents/billing/pause", json={"reason": "prices are wrong"})
        assert (paused.status_code, paused.json()["tenant"]) == (200, "acme")
        again = client.post("/v1/agents/billing/pause", json={"reason": "another"}).json()
        assert again["reason"] == "prices are wrong"
    ours, theirs = site.accepted("acme"), site.accepted("globex")
    with site.engine.begin() as connection:
        assert claims.claim(connection, ours, HOLDER) is None
        assert claims.claim(connection, theirs, HOLDER) is not None
    with site.client("viewer", "globex") as client:
        assert client.get("/v1/pauses").json() == {"pauses": []}
    with site.client("operator") as client:
        assert client.post("/v1/agents/billing/resume").json() == {"was_paused": True}
        assert client.post("/v1/agents/billing/resume").json() == {"was_paused": False}
    with site.engine.begin() as connection:
        assert claims.claim(connection, ours, HOLDER) is not None


def test_a_key_of_the_fleet_pauses_for_all(site: Site) -> None:
    with site.client("operator", "*") as client:
        client.post("/v1/agents/billing/pause", json={"reason": "broken"})
    for tenant in ("acme", "globex"):
        task_id = site.accepted(tenant)
        with site.engine.begin() as connection:
            assert claims.claim(connection, task_id, HOLDER) is None
    with site.client("viewer", "globex") as client:
        assert client.get("/v1/pauses").json()["pauses"][0]["tenant"] == "*"


def test_a_paused_tenant_waits_with_all_its_agents(site: Site) -> None:
    with site.client("operator", "*") as client:
        body = {"reason": "contract ended"}
        assert client.post("/v1/tenants/acme/pause", json=body).json()["agent"] == "*"
        assert client.post("/v1/tenants/nobody/pause", json=body).status_code == 422
    ours = [site.accepted("acme", agent=agent) for agent in ("billing", "onboarding")]
    with site.engine.begin() as connection:
        assert [claims.claim(connection, each, HOLDER) for each in ours] == [None, None]
        assert tasks.cancel(connection, ours[0], tenant="acme")


@pytest.mark.parametrize("role", ["producer", "viewer", "reviewer"])
def test_only_operators_may_pause(site: Site, role: str) -> None:
    with site.client(role) as client:
        refused = client.post("/v1/agents/billing/pause", json={"reason": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_other_tenants_and_unknown_agents_are_refused(site: Site) -> None:
    with site.client("operator") as client:
        other = client.post("/v1/tenants/globex/pause", json={"reason": "x"})
        assert (other.status_code, other.json()["code"]) == (422, "unknown_tenant")
        unknown = client.post("/v1/agents/nobody/pause", json={"reason": "x"})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_agent")
        assert client.post("/v1/agents/billing/pause", json={}).status_code == 422
