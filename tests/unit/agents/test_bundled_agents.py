"""Every tool of the bundled agents, run against a real sandbox business."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from fleet_contracts.errors import ConfigurationError, PermanentError, TransientError
from fleet_workers.agents import AgentCatalogue, load_catalogue
from fleet_workers.tools import ToolContext
from support.business_server import running_business

AGENTS = ("billing", "onboarding", "technical_support")
Call = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def catalogue() -> AgentCatalogue:
    return load_catalogue()


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ToolContext]:
    with running_business(tmp_path / "business.sqlite") as url, httpx2.Client(timeout=10) as http:
        yield ToolContext(
            task_id=uuid4(),
            tenant="acme",
            customer="cus_acme_01",
            agent="test",
            idempotency_key="key",
            http=http,
            environment={"FLEET_BUSINESS_URL": url},
        )


def run(
    catalogue: AgentCatalogue, context: ToolContext, tool_name: str, /, **arguments: Any
) -> dict[str, Any]:
    """Call a tool with a model's arguments, as the runtime does."""
    tool = next(
        each for agent in AGENTS if (each := catalogue.get(agent).tools.get(tool_name)) is not None
    )
    result = tool.function(context, **tool.parse_arguments(arguments))
    tool.result.validate_python(result)
    shown: dict[str, Any] = result
    return shown


@pytest.fixture
def call(catalogue: AgentCatalogue, context: ToolContext) -> Call:
    def for_customer(
        name: str, customer: str = "cus_acme_01", /, **arguments: Any
    ) -> dict[str, Any]:
        tenant = customer.split("_")[1]
        scoped = replace(context, customer=customer, tenant=tenant, idempotency_key=uuid4().hex)
        return run(catalogue, scoped, name, **arguments)

    return for_customer


def test_billing_reads(call: Call) -> None:
    assert call("list_invoices")["invoices"][0]["invoice_id"] == "inv_2013"
    overdue = call("list_invoices", "cus_acme_03", status="overdue")["invoices"]
    assert [each["invoice_id"] for each in overdue] == ["inv_2032"]
    assert call("get_invoice", "cus_acme_06", invoice_id="inv_2063")["total_usd"] == "34.00"
    assert call("list_payments", "cus_acme_02")["payments"][0]["failure"] == "card expired"
    assert call("get_subscription", "cus_acme_11")["renews_on"] == "2027-06-03"
    assert [each["plan_id"] for each in call("list_plans")["plans"]][:2] == ["free", "starter"]
    assert call("list_plans", "cus_globex_01")["plans"][0]["plan_id"] == "basic"


def test_a_charge_is_explained_with_its_lines_and_its_double(call: Call) -> None:
    explained = call("explain_charge", amount_usd=49)
    unusual = call("explain_charge", "cus_acme_06", amount_usd="34.00")

    assert explained["invoices_paid_more_than_once"] == ["inv_2013"]
    assert {"pay_3013", "pay_3019"} <= {each["payment_id"] for each in explained["charges"]}
    lines = unusual["charges"][0]["invoice"]["lines"]
    assert [line["description"] for line in lines] == [
        "Starter, June 2026",
        "3 extra seats at 5.00",
    ]
    assert call("explain_charge", amount_usd=12)["charges"] == []


def test_a_refund_is_made_once_however_often_the_call_is_repeated(
    catalogue: AgentCatalogue, context: ToolContext
) -> None:
    wish = {"payment_id": "pay_3019", "amount_usd": 49.0, "reason": "charged twice"}
    first = run(catalogue, context, "refund_payment", **wish)
    second = run(catalogue, context, "refund_payment", **wish)

    assert first == second
    assert first["payment"]["refunded_usd"] == "49.00"


def test_billing_writes(call: Call) -> None:
    assert call("apply_credit", amount_usd="20", reason="slow exports")["balance_usd"] == "20.00"
    assert call("change_plan", plan_id="business")["plan"]["plan_id"] == "business"
    assert call("get_subscription")["plan"]["price_usd"] == "149.00"


def test_technical_support_reads(call: Call) -> None:
    found = call("search_help_articles", query="How do I set up two-factor authentication?")
    assert found["articles"][0]["article_id"] == "art_102"
    assert call("search_help_articles", query="xylophone")["articles"] == []
    assert call("get_service_status")["open_incidents"][0]["incident_id"] == "inc_6001"
    assert "inc_6003" in {
        each["incident_id"]
        for each in call("list_incidents", "cus_acme_12", status="open")["incidents"]
    }


@pytest.mark.parametrize(
    ("customer", "area"),
    [
        ("cus_acme_07", "workspace"),
        ("cus_acme_08", "imports"),
        ("cus_acme_12", "sign-in"),
        ("cus_acme_15", "storage"),
        ("cus_acme_18", "webhooks"),
        ("cus_globex_07", "workspace"),
        ("cus_globex_01", "email notifications"),
    ],
)
def test_a_diagnosis_finds_what_is_wrong(call: Call, customer: str, area: str) -> None:
    findings = call("diagnose_workspace", customer)["findings"]

    assert area in {each["area"] for each in findings}


def test_technical_support_writes(call: Call) -> None:
    reset = call("reset_credentials", "cus_acme_12", email="susan@kimlegal.example")
    areas = [each["problem"] for each in call("diagnose_workspace", "cus_acme_12")["findings"]]
    assert reset["sent_to"] == "susan@kimlegal.example"
    assert not any("susan" in each for each in areas)
    call("reset_credentials", "cus_acme_18", email="kate@obrienevents.example", kind="api_token")
    areas = [each["area"] for each in call("diagnose_workspace", "cus_acme_18")["findings"]]
    assert "api" not in areas

    opened = call("open_incident", service="web app", title="Crash", description="Boards crash")
    mine = call("list_incidents", status="open")["incidents"]
    assert opened["incident_id"] in {each["incident_id"] for each in mine}


def test_onboarding_from_nothing_to_done(call: Call) -> None:
    new = "cus_acme_13"
    assert call("get_onboarding_progress", new)["next_step"] == "choose a plan"
    assert call("list_workspaces", new)["workspaces"] == []
    made = call("create_workspace", new, name="Kiln Room", region="us")
    assert made["members"][0]["email"] == "fatima@zahra.example"
    assert call("invite_member", new, email="Leo@Zahra.example")["email"] == "leo@zahra.example"
    assert call("start_import", new, source="trello")["status"] == "queued"
    slots = call("list_free_slots", new)["slots"]
    booked = call("book_session", new, slot_id=slots[0]["slot_id"], topic="First steps")
    assert booked["starts_at"] == "2026-06-17T09:00:00Z"
    assert slots[0] not in call("list_free_slots", new)["slots"]
    progress = call("get_onboarding_progress", new)
    assert {step["step"] for step in progress["steps"] if step["done"]} == {
        "create a workspace",
        "invite colleagues",
        "book a session",
    }


def test_with_several_workspaces_one_must_be_named(call: Call) -> None:
    made = call("create_workspace", name="Second")

    with pytest.raises(PermanentError, match=r"several.*ws_acme_01.*Second"):
        call("invite_member", email="a@b.example")
    named = call("invite_member", email="a@b.example", workspace_id=made["workspace_id"])
    assert named["status"] == "pending"


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("get_invoice", {"invoice_id": "inv_2021"}, "no invoice inv_2021"),
        (
            "refund_payment",
            {"payment_id": "pay_3013", "amount_usd": 50, "reason": "all of it"},
            "49.00 USD of pay_3013 can be refunded",
        ),
        ("change_plan", {"plan_id": "platinum"}, "Plans: "),
        ("diagnose_workspace", {"workspace_id": "ws_acme_02"}, "no workspace ws_acme_02"),
        ("reset_credentials", {"email": "david@kimlegal.example"}, "no member"),
    ],
)
def test_a_refusal_reaches_the_model_as_a_reason(
    call: Call, name: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(PermanentError, match=words):
        call(name, **arguments)


@pytest.mark.parametrize("customer", [None, "cus_acme_99", "cus\r\nX-Tenant: globex", "Кто"])
def test_without_a_customer_that_exists_nothing_is_read_or_done(
    catalogue: AgentCatalogue, context: ToolContext, customer: str | None
) -> None:
    nobody = replace(context, customer=customer)

    for name in ("list_invoices", "list_workspaces", "get_onboarding_progress"):
        with pytest.raises(PermanentError, match="customer"):
            run(catalogue, nobody, name)
    with pytest.raises(PermanentError, match="customer"):
        run(catalogue, nobody, "apply_credit", amount_usd=5, reason="outage")
    assert run(catalogue, nobody, "get_service_status")["services"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error"}, httpx2.HTTPStatusError),
        ({"kind": "garbage"}, TransientError),
        ({"kind": "drop_after"}, httpx2.TransportError),
    ],
)
def test_trouble_on_the_way_is_left_to_the_runtime_and_a_repeat_makes_good(
    catalogue: AgentCatalogue,
    context: ToolContext,
    fault: dict[str, Any],
    error: type[Exception],
) -> None:
    url = context.environment["FLEET_BUSINESS_URL"]
    context.http.post(f"{url}/faults", json={"path_prefix": "/credits", **fault})
    wish = {"amount_usd": 5, "reason": "outage"}

    with pytest.raises(error):
        run(catalogue, context, "apply_credit", **wish)
    assert run(catalogue, context, "apply_credit", **wish)["balance_usd"] == "5.00"


def test_a_missing_address_names_the_variable(
    catalogue: AgentCatalogue, context: ToolContext
) -> None:
    with pytest.raises(ConfigurationError, match="FLEET_BUSINESS_URL"):
        run(catalogue, replace(context, environment={}), "list_plans")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_invoice", {"invoice_id": "../customer"}),
        ("refund_payment", {"payment_id": "pay_1/../..", "amount_usd": 5, "reason": "why"}),
        ("refund_payment", {"payment_id": "pay_3013", "amount_usd": -5, "reason": "why"}),
        ("refund_payment", {"payment_id": "pay_3013", "amount_usd": "NaN", "reason": "why"}),
        ("invite_member", {"email": "everybody"}),
        ("start_import", {"source": "paper"}),
        ("list_invoices", {"customer": "cus_acme_02"}),
    ],
)
def test_arguments_that_make_no_sense_never_reach_the_business(
    call: Call, name: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="not accepted"):
        call(name, **arguments)


@pytest.mark.parametrize("agent", AGENTS)
def test_golden_examples_are_many_and_name_tools_that_exist(
    catalogue: AgentCatalogue, agent: str
) -> None:
    release = catalogue.get(agent)

    assert len(release.golden) >= 15
    assert {example.outcome for example in release.golden} == {"answered", "asked", "review"}
    granted = {each.name for each in release.tools}
    assert all(set(example.tools) <= granted for example in release.golden)
    used = {name for example in release.golden for name in example.tools}
    assert used == granted


@pytest.mark.parametrize("agent", AGENTS)
def test_no_tool_lets_a_model_choose_the_customer(catalogue: AgentCatalogue, agent: str) -> None:
    for schema in catalogue.get(agent).tools.schemas():
        names = schema["function"]["parameters"]["properties"]
        assert not {"customer", "customer_id", "tenant"} & set(names)
