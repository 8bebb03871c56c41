"""Agents and tools in the console: pausing and switching by forms, by whom, and how they stand."""

from dataclasses import replace

import httpx2
import pytest

from fleet_workers.resilience.breaker_records import Record
from fleet_workers.resilience.redis_link import RedisAway
from fleet_workers.store import pauses, switches
from fleet_workers.store.pauses import Pause
from fleet_workers.store.switches import Switch
from fleet_workers.web import create_app
from support.asgi_server import serving
from support.web_server import Site, send_form

AGENTS = "/console/agents"


def paused(site: Site) -> list[Pause]:
    with site.engine.begin() as connection:
        return pauses.all_pauses(connection)


def disabled(site: Site) -> list[Switch]:
    with site.engine.begin() as connection:
        return switches.all_switches(connection)


def test_an_agent_is_paused_with_a_reason_and_resumed(site: Site) -> None:
    with site.browser("operator", "acme") as browser:
        done = send_form(browser, f"{AGENTS}/pause", agent="billing", reason="<b>Prices</b> move")
        assert "billing of acme is paused" in done.text
        assert "&lt;b&gt;Prices&lt;/b&gt; move" in done.text
        assert "acme operator" in done.text
        (pause,) = paused(site)
        assert (pause.agent, pause.tenant, pause.paused_by) == ("billing", "acme", "acme operator")
        done = send_form(browser, f"{AGENTS}/resume", agent="billing", tenant="acme")
        assert "billing of acme runs again." in done.text
        assert "was not paused" in send_form(browser, f"{AGENTS}/resume", agent="billing").text
    assert paused(site) == []


def test_an_operator_of_the_fleet_pauses_one_tenant_or_all(site: Site) -> None:
    with site.browser("operator", "*") as browser:
        send_form(browser, f"{AGENTS}/pause", agent="*", tenant="globex", reason="asked for it")
        send_form(browser, f"{AGENTS}/pause", agent="*", reason="the store moves")
        assert {(each.agent, each.tenant) for each in paused(site)} == {("*", "globex"), ("*", "*")}
        send_form(browser, f"{AGENTS}/resume", agent="*", tenant="globex")
        assert [each.tenant for each in paused(site)] == ["*"]
        unknown = send_form(browser, f"{AGENTS}/pause", agent="*", tenant="nobody", reason="x")
        assert "Nothing was changed." in unknown.text


def test_a_tenant_neither_pauses_nor_resumes_for_others(site: Site) -> None:
    with site.engine.begin() as connection:
        for tenant in ("*", "globex"):
            pauses.pause(connection, agent="*", tenant=tenant, reason="theirs", paused_by="ann")
    with site.browser("operator", "acme") as browser:
        shown = browser.get(AGENTS).text
        assert shown.count("theirs") == 1
        assert ">Resume<" not in shown
        for tenant in ("*", "globex"):
            refused = send_form(browser, f"{AGENTS}/resume", agent="*", tenant=tenant)
            assert "Nothing was changed." in refused.text
            refused = send_form(browser, f"{AGENTS}/pause", agent="*", tenant=tenant, reason="x")
            assert "Nothing was changed." in refused.text
    assert len(paused(site)) == 2


def test_a_tool_is_disabled_with_a_reason_and_enabled(site: Site) -> None:
    tool = "refund_payment"
    with site.browser("operator", "acme") as browser:
        done = send_form(
            browser, f"{AGENTS}/tools/disable", tool=tool, agent="billing", reason="Wrong amounts"
        )
        assert "refund_payment is disabled for billing of acme: Wrong amounts" in done.text
        (switch,) = disabled(site)
        assert (switch.tool, switch.agent, switch.tenant) == (tool, "billing", "acme")
        assert '<span class="badge bad">disabled</span>' in done.text
        done = send_form(
            browser, f"{AGENTS}/tools/enable", tool=tool, agent="billing", tenant="acme"
        )
        assert "refund_payment is enabled." in done.text
    assert disabled(site) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"tool": "nothing", "reason": "x"},
        {"tool": "refund_payment", "agent": "onboarding", "reason": "x"},
        {"tool": "refund_payment", "agent": "nobody", "reason": "x"},
        {"tool": "refund_payment", "reason": " "},
        {"tool": "refund_payment", "tenant": "globex", "reason": "x"},
        {"tool": "refund_payment", "tenant": "*", "reason": "x"},
        {"tool": "", "reason": "x"},
        {},
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(site: Site, fields: dict[str, str]) -> None:
    with site.browser("operator", "acme") as browser:
        refused = send_form(browser, f"{AGENTS}/tools/disable", **fields)
        assert "Nothing was changed." in refused.text
        assert "Nothing was changed." in send_form(browser, f"{AGENTS}/pause", agent="nobody").text
    assert disabled(site) == []
    assert paused(site) == []


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_only_operators_have_forms_and_may_send_them(site: Site, role: str) -> None:
    with site.browser(role, "acme") as browser:
        assert f'action="{AGENTS}' not in browser.get(AGENTS).text
        for path in ("pause", "resume", "tools/disable", "tools/enable"):
            refused = send_form(
                browser, f"{AGENTS}/{path}", agent="billing", tool="refund_payment", reason="x"
            )
            assert refused.status_code == 403
    assert paused(site) == []
    assert disabled(site) == []


def test_breakers_in_trouble_are_shown_where_somebody_knows(site: Site) -> None:
    opened = Record(granted=False, failures=7, probe_in_seconds=11.2, claim_seconds=0)
    closed = Record(granted=False, failures=0, probe_in_seconds=None, claim_seconds=0)

    def away() -> dict[str, Record]:
        raise RedisAway("gone")

    def shown(**known: object) -> str:
        resources = replace(site.resources, **known)
        with (
            serving(create_app(resources)) as url,
            httpx2.Client(base_url=url, follow_redirects=True) as browser,
        ):
            browser.post("/console/sign-in", data={"key": site.key("viewer", "acme")})
            return browser.get(AGENTS).text

    records = {"tool refund_payment": opened, "model gpt": closed}
    text = shown(read_breakers=lambda: records)
    assert "tool refund_payment" in text
    assert "in 12 s" in text
    assert "breaker open" in text
    assert "model gpt" not in text
    for nobody_knows in (away, None):
        assert "Nobody can tell" in shown(read_breakers=nobody_knows)


def test_the_instructions_of_an_agent_are_shown(site: Site) -> None:
    with site.browser("viewer", "acme") as browser:
        text = browser.get(AGENTS).text
    assert "Instructions (prompt v1)" in text
    assert site.resources.catalogue.get("billing").id in text
