"""A review's page: what each form does, what is kept of it, and who is told what."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from fleet_contracts.outcome import ReviewKind
from fleet_contracts.states import TaskState
from fleet_workers.review.afterwards import (
    AfterwardsKind,
    open_afterwards,
    packet_afterwards,
)
from fleet_workers.store import finished, views
from fleet_workers.store.reviews import ReviewItem
from support.desk import REFUND, open_item, read_item
from support.desk_browser import (
    INBOX,
    change,
    decide,
    hidden_fields,
    listed,
    reviewer,
    task_state,
)
from support.ended_tasks import Ended, write_ended
from support.web_server import Site


def test_opening_claims_nothing_and_claiming_keeps_others_out(site: Site) -> None:
    item = open_item(site)
    address = f"{INBOX}/{item.id}"
    with reviewer(site, "ann") as ann, reviewer(site, "bob") as bob:
        page = ann.get(address).text
        assert read_item(site, item).claimed_by is None
        fields = hidden_fields(page, f"{address}/claim")
        claimed = ann.post(f"{address}/claim", data=fields)
        assert "This item is yours" in claimed.text
        assert read_item(site, item).claimed_by == "ann"
        bobs = bob.get(address).text
        assert "<strong>ann</strong> works on this" in bobs
        refused = decide(bob, item, "reject", of=bobs, text="Because I say so")
        assert refused.status_code == 409
        assert "ann works on this review" in refused.text
        assert "Because I say so" in refused.text
        released = ann.post(
            f"{address}/release", data=hidden_fields(claimed.text, f"{address}/release")
        )
        assert "Given back" in released.text
        assert read_item(site, item).claimed_by is None


def test_one_button_approves_and_the_next_item_comes_up(site: Site) -> None:
    first, second = open_item(site), open_item(site)
    with reviewer(site) as browser:
        done = decide(browser, first, "approve")
        assert done.url.path == f"{INBOX}/{second.id}"
        assert "Approved: the agent goes on." in done.text
        assert f"/console/tasks/{first.task_id}" in done.text
        assert "Approved: the agent goes on." not in browser.get(done.url).text
        last = decide(browser, second, "approve")
        assert last.url.path == INBOX
        assert "Nothing else waits here." in last.text
        decided = browser.get(f"{INBOX}/{first.id}").text
        assert "by ann" in decided
        assert "data-decision" not in decided
    assert read_item(site, first).decided_by == "ann"
    assert task_state(site, first) is TaskState.QUEUED


def test_the_filter_stays_while_one_item_after_the_other_is_decided(site: Site) -> None:
    items = [open_item(site), open_item(site)]
    open_item(site, ReviewKind.LOW_CONFIDENCE, answer="x")
    with reviewer(site) as browser:
        page = browser.get(f"{INBOX}/{items[0].id}?kind=approval").text
        done = decide(browser, items[0], "approve", of=page)
        assert str(done.url).endswith(f"{INBOX}/{items[1].id}?kind=approval")
        done = decide(browser, items[1], "approve", of=done.text)
        assert str(done.url).endswith(f"{INBOX}?kind=approval")
        assert "Nothing that fits." in done.text


def test_an_action_is_edited_field_by_field(site: Site) -> None:
    item = open_item(site)
    with reviewer(site) as browser:
        page = browser.get(f"{INBOX}/{item.id}").text
        assert 'name="arg.amount_usd" value="149"' in page
        wrong = decide(
            browser, item, "edit", of=page, **{"arg.amount_usd": "lots", "arg.reason": "as agreed"}
        )
        assert wrong.status_code == 422
        assert "must be a number" in wrong.text
        assert 'value="lots"' in wrong.text
        assert 'value="as agreed"' in wrong.text
        unchanged = decide(browser, item, "edit", of=page, **{"arg.amount_usd": "149"})
        assert "Nothing was changed" in unchanged.text
        assert read_item(site, item).state == "waiting"
        done = decide(browser, item, "edit", of=page, **{"arg.amount_usd": "49.50"})
        assert "Edited and approved: the agent goes on." in done.text
    proposal = read_item(site, item).packet["proposal"]
    assert proposal["arguments"] == {**REFUND, "amount_usd": 49.5}
    assert proposal["planned_arguments"] == REFUND
    assert task_state(site, item) is TaskState.QUEUED


def test_a_drafted_answer_is_edited_and_sent(site: Site) -> None:
    item = open_item(site, ReviewKind.LOW_CONFIDENCE, answer="It is <b>paid</b>.")
    with reviewer(site) as browser:
        page = browser.get(f"{INBOX}/{item.id}").text
        assert "It is &lt;b&gt;paid&lt;/b&gt;.</textarea>" in page
        done = decide(browser, item, "edit", of=page, text="It is paid.\r\nThank you.")
        assert "the task has ended" in done.text
    with site.engine.begin() as connection:
        view = views.view(connection, item.task_id, tenant=None)
    assert view is not None
    assert view.outcome is not None
    assert view.outcome.answer == "It is paid.\nThank you."


@pytest.mark.parametrize(
    ("then", "state"), [("go_on", TaskState.QUEUED), ("end", TaskState.REJECTED)]
)
def test_a_rejection_lets_the_agent_go_on_or_ends_the_task(
    site: Site, then: str, state: TaskState
) -> None:
    item = open_item(site)
    with reviewer(site) as browser:
        missing = decide(browser, item, "reject", text="  ", then=then)
        assert missing.status_code == 422
        assert "Say why it is rejected" in missing.text
        assert f'value="{then}" checked' in missing.text
        done = decide(browser, item, "reject", text="Over the limit.", then=then)
        assert "Rejected:" in done.text
    assert task_state(site, item) is state


@pytest.mark.parametrize(
    ("ruling", "typed", "state", "words"),
    [
        ("answer", {"text": "It comes on Monday."}, TaskState.SUCCEEDED, "Answered"),
        ("ask", {"text": "Which invoice?"}, TaskState.SUCCEEDED, "The customer is asked"),
        (
            "reassign",
            {"text": "It is about a fault.", "agent": "technical_support"},
            TaskState.QUEUED,
            "Given to another agent",
        ),
    ],
)
def test_the_other_decisions_have_forms_of_their_own(
    site: Site, ruling: str, typed: dict[str, str], state: TaskState, words: str
) -> None:
    item = open_item(site)
    with reviewer(site) as browser:
        assert words in decide(browser, item, ruling, **typed).text
    assert task_state(site, item) is state


def test_an_agent_that_is_not_there_takes_nothing_over(site: Site) -> None:
    item = open_item(site)
    with reviewer(site) as browser:
        for agent in ("billing", "nobody", "", "\U0001f600"):
            refused = decide(browser, item, "reassign", text="Typed words.", agent=agent)
            assert refused.status_code == 422
            assert "Typed words." in refused.text
    assert read_item(site, item).state == "waiting"


def test_an_item_is_handed_over_to_a_person_who_reads_why(site: Site) -> None:
    item = open_item(site)
    address = f"{INBOX}/{item.id}"
    with reviewer(site, "ann") as ann, reviewer(site, "bob") as bob:
        fields = hidden_fields(ann.get(address).text, f"{address}/hand-over", "hand-over")
        refused = ann.post(f"{address}/hand-over", data={**fields, "text": "You know them."})
        assert refused.status_code == 422
        assert "You know them." in refused.text
        done = ann.post(
            f"{address}/hand-over", data={**fields, "text": "You know them.", "person": "bob"}
        )
        assert "Handed over to bob." in done.text
        assert listed(bob.get(f"{INBOX}?mine=1").text) == [str(item.id)]
        assert "ann handed this over:</strong> You know them." in bob.get(address).text


def test_only_what_fits_is_offered(site: Site) -> None:
    offers = {
        ReviewKind.APPROVAL: {"approve", "edit", "reject", "answer", "ask", "reassign"},
        ReviewKind.IN_DOUBT: {"approve", "reject", "answer", "ask"},
        ReviewKind.OUT_OF_SCOPE: {"reject", "answer", "ask", "reassign"},
    }
    with reviewer(site) as browser:
        for kind, rulings in offers.items():
            html = browser.get(f"{INBOX}/{open_item(site, kind).id}").text
            found = set(re.findall(r'name="ruling" value="(\w+)"', html))
            assert found == rulings, kind
            refused = decide(browser, open_item(site, kind), "reject", ruling="nonsense")
            assert "The form names no decision" in refused.text


def test_of_two_who_decide_at_once_one_is_told_who_was_faster(site: Site) -> None:
    with reviewer(site, "ann") as ann, reviewer(site, "bob") as bob:
        for _ in range(5):
            item = open_item(site)
            pages = [each.get(f"{INBOX}/{item.id}").text for each in (ann, bob)]

            def send(place: int, item: ReviewItem = item, pages: list[str] = pages) -> Any:
                return decide((ann, bob)[place], item, "approve", of=pages[place])

            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(send, (0, 1)))
            assert sorted(each.status_code for each in answers) == [200, 409]
            winner = read_item(site, item).decided_by
            loser = next(each for each in answers if each.status_code == 409)
            assert f"already by {winner}" in loser.text


def test_four_eyes_need_two_people(site: Site) -> None:
    item = open_item(site, people=2)
    with reviewer(site, "ann") as ann, reviewer(site, "bob") as bob:
        assert "2 different people must approve." in ann.get(f"{INBOX}/{item.id}").text
        once = decide(ann, item, "approve")
        assert "Your approval is kept: 1 of 2." in once.text
        own = ann.get(f"{INBOX}/{item.id}").text
        assert "Approved so far by ann: another person must, too." in own
        assert 'value="approve"' not in own
        done = decide(bob, item, "approve")
        assert "Approved: the agent goes on." in done.text
    assert read_item(site, item).decision["approved_by"] == ["ann", "bob"]  # type: ignore[index]


def test_what_was_changed_since_it_was_read_is_not_approved_unseen(site: Site) -> None:
    item = open_item(site, people=2)
    with reviewer(site, "ann") as ann, reviewer(site, "bob") as bob:
        old = bob.get(f"{INBOX}/{item.id}").text
        decide(ann, item, "edit", **{"arg.amount_usd": "9000"})
        refused = decide(bob, item, "approve", of=old)
        assert refused.status_code == 409
        assert "ann has changed the proposal since you read it" in refused.text
        assert "9,000.00 USD" in refused.text
        assert "It moves 9,000.00 USD." in refused.text
        assert "changed by a person; the agent wanted 149.00 USD" in refused.text
        assert refused.text.count("149.00 USD") == 1
        assert "amount_usd 9000" in bob.get(INBOX).text
        assert read_item(site, item).state == "waiting"
        decide(bob, item, "approve")
    assert read_item(site, item).state == "resumed"


def test_nobody_decides_without_the_right_or_for_another_tenant(site: Site) -> None:
    item = open_item(site)
    address = f"{INBOX}/{item.id}"
    forms = ("decide", "claim", "release", "hand-over")
    with site.browser("viewer", "acme") as viewer:
        html = viewer.get(address).text
        assert "a reviewer decides it" in html
        assert f'action="{address}' not in html
        token = re.search(r'name="csrf" value="(\w+)"', html)
        assert token is not None
        for form in forms:
            data = {"csrf": token[1], "ruling": "approve", "text": "x"}
            assert viewer.post(f"{address}/{form}", data=data).status_code == 403
    with reviewer(site, "eve", tenant="globex") as eve:
        token = re.search(r'name="csrf" value="(\w+)"', eve.get(INBOX).text)
        assert token is not None
        for form in forms:
            data = {"csrf": token[1], "ruling": "approve", "text": "x", "person": "eve"}
            for review_id in (item.id, uuid4()):
                assert eve.post(f"{INBOX}/{review_id}/{form}", data=data).status_code == 404
        assert eve.get(address).status_code == eve.get(f"{address}/next").status_code == 404
    assert read_item(site, item).state == "waiting"
    assert read_item(site, item).claimed_by is None


@pytest.mark.parametrize("text", ["x" * 20_001, "a\0b", "\ud800", "<script>alert(1)</script>"])
def test_words_that_are_too_many_or_too_strange_do_no_harm(site: Site, text: str) -> None:
    item = open_item(site)
    with reviewer(site) as browser:
        address = f"{INBOX}/{item.id}"
        fields = hidden_fields(browser.get(address).text, f"{address}/decide", "answer")
        body = {**fields, "text": text}
        sent = urlencode(
            {name: each.encode("utf-8", "surrogatepass") for name, each in body.items()}
        )
        answer = browser.post(
            f"{address}/decide",
            content=sent,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code in {200, 400, 422}
        assert "<script>alert" not in answer.text
        assert "<script>alert" not in browser.get(address).text


def test_a_task_that_ended_otherwise_closes_its_review(site: Site) -> None:
    item = open_item(site)
    with reviewer(site) as browser:
        page = browser.get(f"{INBOX}/{item.id}").text
        change(
            site, item, state="closed", decision={"closed": "cancelled"}, decided_at=item.created_at
        )
        refused = decide(browser, item, "approve", of=page)
        assert refused.status_code == 409
        assert "Cancelled" in browser.get(f"{INBOX}/{item.id}").text


STRANGE: tuple[Any, ...] = (None, 7, "x", [], [7, None, "x"], {}, {"by": None, "x": [7]}, True)


@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_rows_that_others_wrote_are_shown_as_far_as_they_make_sense(site: Site, value: Any) -> None:
    item = open_item(site)
    names = [*item.packet, "notes", "something_else"]
    packets = [
        dict.fromkeys(names, value),
        {**item.packet, "notes": [value, {"by": "bob", "note": value}]},
        {**item.packet, "proposal": dict.fromkeys(item.packet["proposal"], value)},
        {**item.packet, "proposal": {**item.packet["proposal"], "arguments": value}},
    ]
    with reviewer(site) as browser:
        for packet in packets:
            for state in ("waiting", "resumed", "closed"):
                for decision in ({"approved_by": value, "ruling": value, "text": value}, {}):
                    change(site, item, packet=packet, decision=decision, state=state)
                    page = browser.get(f"{INBOX}/{item.id}")
                    assert page.status_code == 200
                    assert "<main" in page.text


def sampled(site: Site, kind: AfterwardsKind) -> ReviewItem:
    """A task that has ended and was drawn, or complained about."""
    ended = Ended()
    write_ended(site.engine, [ended])
    with site.engine.begin() as connection:
        task = finished.find_finished(connection, ended.id, tenant=None)
        assert task is not None
        packet = packet_afterwards(connection, task, "Drawn by chance.")
        return open_afterwards(connection, task, kind, "Drawn by chance.", packet)[0]


@pytest.mark.parametrize("kind", [ReviewKind.SAMPLED, ReviewKind.FLAGGED])
def test_a_verdict_on_a_task_that_has_ended_changes_no_task(
    site: Site, kind: AfterwardsKind
) -> None:
    with reviewer(site) as browser:
        for form, typed in (
            ("approve", {}),
            ("edit", {"text": "What would have been right."}),
            ("reject", {"text": "It answered another question."}),
        ):
            item = sampled(site, kind)
            html = browser.get(f"{INBOX}/{item.id}").text
            assert set(re.findall(r'name="ruling" value="(\w+)"', html)) == {
                *("approve", "edit", "reject")
            }
            assert "It was right" in html
            assert "the agent goes on" not in html
            done = decide(browser, item, form, of=html, **typed)
            assert "Your verdict is kept." in done.text
            assert task_state(site, item) is TaskState.SUCCEEDED
            assert read_item(site, item).decided_by == "ann"
