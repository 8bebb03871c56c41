"""The console in a browser: a reviewer's whole way, from signing in to the effect it has."""

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from fleet_contracts.states import TaskState
from fleet_workers.store import dead_letters
from fleet_workers.testing import Reply, ScriptedModel
from support.business_server import running_business
from support.desk_fleet import Desk, script_key
from support.fleet_processes import running_fleet
from support.page_checks import faults_of
from support.stacks import open_stack

_PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def _desk(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("console")
    scripts: dict[str, list[Reply]] = {}
    model = ScriptedModel(scripts=scripts, key=script_key)
    with (
        open_stack("embedded") as stack,
        running_business(folder / "business.sqlite") as business_url,
        model.serve() as server,
    ):
        environment = {"FLEET_BUSINESS_URL": business_url, "OPENAI_BASE_URL": server.url}
        with running_fleet(stack, folder, environment) as fleet:
            fleet.start_worker("billing")
            fleet.start_janitor()
            fleet.start_web()
            fleet.wait_ready()
            yield Desk(fleet=fleet, business_url=business_url, browser=chromium, scripts=scripts)


@pytest.fixture
def desk(_desk: Desk) -> Iterator[Desk]:
    _desk.faults.clear()
    yield _desk
    assert _desk.faults == [], "The browser found fault with a page."


def test_a_reviewer_claims_edits_and_approves_and_the_effect_is_there_once(desk: Desk) -> None:
    before = desk.effects()
    task_id = desk.ask_for_credit(60)
    with desk.person("ann@example.com") as page:
        # When a reviewer takes the item from the inbox
        page.get_by_role("link", name="Reviews", exact=True).click()
        page.get_by_role("button", name="Claim and open").first.click()
        expect(told(page)).to_contain_text("This item is yours")
        expect(page.get_by_role("heading", name="It wants to: Apply credit")).to_be_visible()
        # and changes the amount
        page.get_by_text("Edit and approve").click()
        page.get_by_label("Amount (USD)").fill("55.50")
        page.get_by_role("button", name="Do it this way").click()
        # I expect to be told that the agent goes on, and to see it on the task's page
        expect(told(page)).to_contain_text("Edited and approved")
        page.get_by_role("link", name="See the task").click()
        desk.wait_for(task_id, TaskState.SUCCEEDED)
        page.reload()
        expect(page.get_by_text("It is done.").first).to_be_visible()
        expect(page.get_by_text("ann@example.com").first).to_be_visible()
        expect(page.locator("tr", has_text="decision_used")).to_be_visible()
    # and the effect in the business, once and as edited
    assert desk.effects() == [*before, "55.50"]


def test_of_two_reviewers_the_slower_is_told_and_loses_no_word(desk: Desk) -> None:
    before = desk.effects()
    task_id = desk.ask_for_credit(61)
    address = f"/console/reviews/{desk.review_of(task_id)}"
    with desk.person("ann@example.com") as ann, desk.person("bob@example.com") as bob:
        ann.goto(address)
        bob.goto(address)
        bob.locator("#reject > summary").click()
        bob.locator("#text-reject").fill("They had one in May.")
        ann.get_by_role("button", name="Approve: do this").click()
        expect(told(ann)).to_contain_text("Approved")
        bob.locator("#reject button").click()
        expect(bob.get_by_role("alert")).to_contain_text("already by ann@example.com")
        expect(bob.get_by_text("They had one in May.")).to_be_visible()
    desk.wait_for(task_id, TaskState.SUCCEEDED)
    assert desk.effects() == [*before, "61.00"]


def test_everything_is_done_with_keys(desk: Desk) -> None:
    first, second = desk.ask_for_credit(62), desk.ask_for_credit(63)
    ids = [desk.review_of(each) for each in (first, second)]
    with desk.person("ann@example.com") as page:
        page.goto("/console/reviews")
        page.wait_for_timeout(700)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/reviews/{ids[0]}")
        page.wait_for_timeout(700)
        page.keyboard.press("c")
        expect(page.get_by_text("yours", exact=True)).to_be_visible()
        page.wait_for_timeout(700)
        # Keys that are typed into a field are text.
        page.keyboard.press("r")
        page.keyboard.type("are we sure? a e n")
        expect(page.locator("#text-reject")).to_have_value("are we sure? a e n")
        assert page.url.endswith(ids[0])
        page.keyboard.press("Control+Enter")
        # At once, also where a busy machine takes its time to show the page.
        page.wait_for_url(f"**/reviews/{ids[1]}", wait_until="commit")
        # A key that was meant for the page before decides nothing on this one.
        page.keyboard.press("a")
        expect(told(page)).to_contain_text("Rejected: the agent goes on.")
        page.wait_for_timeout(700)
        assert page.url.endswith(ids[1])
        page.keyboard.press("a")
        page.wait_for_url("**/console/reviews")
        expect(told(page)).to_contain_text("Approved: the agent goes on.")
    desk.wait_for(first, TaskState.SUCCEEDED)
    desk.wait_for(second, TaskState.SUCCEEDED)
    assert desk.effects()[-1] == "63.00"
    assert "62.00" not in desk.effects()


def test_keys_can_be_switched_off(desk: Desk) -> None:
    task_id = desk.ask_for_credit(64)
    with desk.person("ann@example.com") as page:
        page.goto(f"/console/reviews/{desk.review_of(task_id)}")
        page.get_by_role("button", name="Keys (?)").click()
        page.get_by_label("Single keys do something").uncheck()
        page.get_by_role("button", name="Close").click()
        page.reload()
        page.wait_for_timeout(700)
        page.keyboard.press("a")
        page.wait_for_timeout(300)
        expect(page.get_by_role("button", name="Approve: do this")).to_be_visible()
        page.get_by_role("button", name="Approve: do this").click()
    desk.wait_for(task_id, TaskState.SUCCEEDED)


def test_the_inbox_tells_what_has_come_and_moves_no_row(desk: Desk) -> None:
    first = desk.ask_for_credit(65)
    with desk.person("ann@example.com") as ann, desk.person("bob@example.com") as bob:
        ann.goto("/console/reviews")
        row = ann.locator(f'[data-row="{desk.review_of(first)}"]')
        expect(row).to_be_visible()
        number = ann.locator("[data-row]").count()
        second = desk.ask_for_credit(66)
        bob.goto(f"/console/reviews/{desk.review_of(first)}")
        bob.get_by_role("button", name=re.compile("^Claim")).click()
        expect(ann.locator(".news")).to_contain_text("1 new", timeout=12_000)
        expect(row).to_contain_text("bob@example.com")
        expect(row.get_by_role("button")).to_be_hidden()
        assert ann.locator("[data-row]").count() == number
        ann.get_by_role("link", name="Read the list again").click()
        expect(ann.locator(f'[data-row="{desk.review_of(second)}"]')).to_be_visible()
        bob.get_by_role("button", name="Approve: do this").click()
        expect(told(bob)).to_contain_text("Approved")
        bob.goto(f"/console/reviews/{desk.review_of(second)}")
        bob.get_by_role("button", name="Approve: do this").click()
        expect(told(bob)).to_contain_text("Approved")


def test_without_javascript_all_of_it_works(desk: Desk) -> None:
    task_id = desk.ask_for_credit(67)
    review = f"/console/reviews/{desk.review_of(task_id)}"
    with desk.person("ann@example.com", "admin", java_script_enabled=False) as page:
        for address in all_pages(desk, task_id):
            answer_ = page.goto(address)
            assert answer_ is not None
            assert answer_.status == 200, address
            assert page.locator("main h1").count() == 1, address
        page.goto("/console/reviews")
        page.get_by_role("button", name="Take the next one").click()
        expect(told(page)).to_contain_text("This item is yours")
        assert review in page.url
        page.get_by_text("Edit and approve").click()
        page.get_by_label("Amount (USD)").fill("67.25")
        page.get_by_role("button", name="Do it this way").click()
        expect(told(page)).to_contain_text("Edited and approved")
        page.goto("/console/agents")
        page.get_by_text("Pause onboarding", exact=True).first.click()
        page.get_by_label("Why").locator("visible=true").first.fill("A test")
        page.get_by_role("button", name="Pause onboarding").click()
        expect(told(page)).to_contain_text("onboarding of acme is paused")
        page.get_by_role("button", name="Resume").click()
        expect(told(page)).to_contain_text("runs again")
    desk.wait_for(task_id, TaskState.SUCCEEDED)
    assert desk.effects()[-1] == "67.25"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_readable_on_a_phone(desk: Desk, scheme: str) -> None:
    task_id = desk.ask_for_credit(68)
    options = {"viewport": _PHONE, "color_scheme": scheme}
    with desk.person("ann@example.com", "admin", **options) as page:
        for address in all_pages(desk, task_id):
            page.goto(address)
            assert faults_of(page) == [], address
        page.goto(f"/console/reviews/{desk.review_of(task_id)}")
        page.locator("#reject > summary").click()
        page.locator("#text-reject").fill("A phone is enough.")
        page.locator("#reject button").click()
        expect(told(page)).to_contain_text("Rejected")


def told(page: Page) -> Locator:
    """Where a page says what came of a form."""
    return page.locator(".flash")


def all_pages(desk: Desk, task_id: UUID) -> list[str]:
    """Every page that a person can open."""
    with desk.stack.engine.begin() as connection:
        letter = dead_letters.add(
            connection, reason="permanent", error="It broke.", body="{}", tenant="acme"
        )
    return [
        "/console",
        "/console/reviews",
        "/console/reviews?kind=approval&overdue=1",
        f"/console/reviews/{desk.review_of(task_id)}",
        "/console/tasks",
        f"/console/tasks/{task_id}",
        f"/console/tasks/{task_id}?problems=1",
        "/console/dead-letters",
        f"/console/dead-letters/{letter.id}",
        "/console/agents",
        "/console/pools",
        "/console/quality",
        "/console/people",
    ]
