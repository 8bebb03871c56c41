"""The inbox: what is listed for whom, in which order, and who gets what they take."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx2

from fleet_contracts.outcome import ReviewKind
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.store.tables import reviews
from fleet_workers.web.people import Account, create_person
from support.desk import open_item, read_item
from support.desk_browser import (
    INBOX,
    change,
    decide,
    hidden_fields,
    listed,
    reviewer,
)
from support.web_server import Site


def test_the_most_urgent_stands_on_top_and_then_what_is_due_first(site: Site) -> None:
    answer = open_item(site, ReviewKind.LOW_CONFIDENCE, answer="It is paid.")
    second = open_item(site)
    first = open_item(site)
    urgent = open_item(site, ReviewKind.LOW_CONFIDENCE, answer="It is due.")
    now = datetime.now(UTC)
    change(site, first, due_at=now - timedelta(hours=2))
    change(site, urgent, priority=0)
    with reviewer(site) as browser:
        text = browser.get(INBOX).text
    assert listed(text) == [str(each.id) for each in (urgent, first, second, answer)]
    assert "2 h overdue" in text
    assert "Proposes:" in text
    assert "I was charged 149 dollars twice" in text


def test_the_inbox_is_filtered(site: Site) -> None:
    theirs = open_item(site, tenant="globex")
    refund, answer = open_item(site), open_item(site, ReviewKind.UNGROUNDED, answer="Paid.")
    late, mine, taken = open_item(site), open_item(site), open_item(site)
    now = datetime.now(UTC)
    change(site, late, due_at=now - timedelta(hours=1), priority=0, group="money")
    change(site, mine, claimed_by="ann", claimed_until=now + timedelta(minutes=5))
    change(site, taken, claimed_by="bob", claimed_until=now + timedelta(minutes=5))
    everything = (refund, answer, late, mine, taken)
    expected: dict[str, tuple[ReviewItem, ...]] = {
        "kind=ungrounded": (answer,),
        "agent=onboarding": (),
        "mine=1": (mine,),
        "overdue=1": (late,),
        "priority=urgent": (late,),
        "group=money": (late,),
        "free=1": (refund, answer, late),
        "kind=approval&free=1": (refund, late),
        "kind=nonsense&priority=nonsense": everything,
        "agent=%00": (),
        "tenant=globex": everything,
    }
    with reviewer(site) as browser:
        for query, items in expected.items():
            found = listed(browser.get(f"{INBOX}?{query}").text)
            assert set(found) == {str(each.id) for each in items}, query
    with site.browser("viewer", "*") as everyone:
        assert listed(everyone.get(f"{INBOX}?tenant=globex").text) == [str(theirs.id)]
        assert ">Claim<" not in everyone.get(INBOX).text


def test_pages_follow_one_another_without_a_gap_or_a_repeat(site: Site) -> None:
    first = open_item(site)
    rows = [
        {
            "id": uuid4(),
            "task_id": first.task_id,
            "tenant": "acme",
            "agent": "billing",
            "kind": "approval",
            "reason": "r",
            "packet": {},
            "priority": number % 3 + 1,
            "due_at": datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=number % 7),
        }
        for number in range(119)
    ]
    with site.engine.begin() as connection:
        connection.execute(reviews.insert(), rows)
    seen: list[str] = []
    with reviewer(site) as browser:
        address: str | None = INBOX
        while address is not None:
            html = browser.get(address).text
            seen += listed(html)
            link = re.search(r'rel="next" href="([^"]+)"', html)
            address = link[1].replace("&amp;", "&") if link else None
        assert len(seen) == len(set(seen)) == 120
        for place in ("x", "1 2 3", "9" * 150, "1 2026-01-01T00:00:00 " + str(uuid4())):
            assert len(listed(browser.get(INBOX, params={"after": place}).text)) == 50


def test_what_has_come_and_what_was_taken_is_told_without_moving_rows(site: Site) -> None:
    shown = [open_item(site) for _ in range(3)]
    now = datetime.now(UTC)
    change(site, shown[0], state="resumed")
    change(site, shown[1], claimed_by="bob", claimed_until=now + timedelta(minutes=5))
    change(site, shown[2], claimed_by="ann", claimed_until=now + timedelta(minutes=5))
    open_item(site)
    open_item(site, ReviewKind.LOW_CONFIDENCE, answer="x")
    open_item(site, tenant="globex")
    asked = {"since": now.isoformat(), "shown": [str(each.id) for each in shown]}
    with reviewer(site) as browser:
        found = browser.get(f"{INBOX}/news", params=asked).json()
        assert found == {
            "new": 2,
            "gone": [str(shown[0].id)],
            "held": {str(shown[1].id): "bob", str(shown[2].id): "you"},
        }
        only = browser.get(f"{INBOX}/news", params={**asked, "kind": "approval"}).json()
        assert only["new"] == 1
        long_ago = {**asked, "since": "0001-01-01T00:00:00Z"}
        assert browser.get(f"{INBOX}/news", params=long_ago).json()["new"] == 4
        ahead = {**asked, "since": "9999-12-31T23:59:59Z"}
        assert browser.get(f"{INBOX}/news", params=ahead).json()["new"] == 0
        for wrong in ({}, {"since": "x"}, {"since": asked["since"], "shown": "x"}):
            assert browser.get(f"{INBOX}/news", params=wrong).status_code == 404
    with reviewer(site, tenant="globex") as other:
        found = other.get(f"{INBOX}/news", params=asked).json()
        assert (found["new"], len(found["gone"]), found["held"]) == (1, 3, {})


def test_two_who_take_the_next_one_get_two(site: Site) -> None:
    items = [open_item(site), open_item(site)]
    with reviewer(site, "ann") as ann, reviewer(site, "bob") as bob:
        forms = [hidden_fields(each.get(INBOX).text, f"{INBOX}/next") for each in (ann, bob)]
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(
                    lambda place: (ann, bob)[place].post(f"{INBOX}/next", data=forms[place]), (0, 1)
                )
            )
        opened = {each.url.path.rpartition("/")[2] for each in answers}
        assert opened == {str(each.id) for each in items}
        assert "Nothing waits here" in ann.post(f"{INBOX}/next", data=forms[0]).text


def test_what_others_work_on_is_passed_over(site: Site) -> None:
    first, second, third = (open_item(site) for _ in range(3))
    later = datetime.now(UTC) + timedelta(minutes=5)
    change(site, second, claimed_by="bob", claimed_until=later)
    with reviewer(site) as browser:
        following = browser.get(f"{INBOX}/{first.id}/next")
        assert following.url.path == f"{INBOX}/{third.id}"
        round_again = browser.get(f"{INBOX}/{third.id}/next")
        assert round_again.url.path == f"{INBOX}/{first.id}"


def test_behind_a_page_of_items_that_others_work_on_the_next_is_found(site: Site) -> None:
    first, last = open_item(site), open_item(site)
    later = datetime.now(UTC) + timedelta(minutes=5)
    values = {"task_id": first.task_id, "tenant": "acme", "agent": "billing", "kind": "approval"}
    held = {"reason": "r", "packet": {}, "claimed_by": "bob", "claimed_until": later}
    with site.engine.begin() as connection:
        rows = [{"id": uuid4(), "priority": 1, **values, **held} for _ in range(60)]
        connection.execute(reviews.insert(), rows)
    change(site, first, priority=0)
    change(site, last, priority=3)
    with reviewer(site) as browser:
        following = browser.get(f"{INBOX}/{first.id}/next")
    assert following.url.path == f"{INBOX}/{last.id}"


def test_a_person_sees_the_items_of_their_groups_and_none_for_lack_of_a_skill(site: Site) -> None:
    free, money, leads = open_item(site), open_item(site), open_item(site)
    change(site, money, group="money", skills=["refunds"])
    change(site, leads, group="leads")
    account = Account(
        tenant="acme",
        email="ann@example.com",
        name="Ann",
        role="reviewer",
        groups=("money",),
        skills=("invoices",),
        password="a long enough one",
    )
    with site.engine.begin() as connection:
        create_person(connection, account, by="test")
    with httpx2.Client(base_url=site.url, follow_redirects=True, timeout=20) as ann:
        said = {"email": account.email, "password": account.password}
        inbox = ann.post("/console/sign-in", data=said) and ann.get(INBOX)
        assert set(listed(inbox.text)) == {str(free.id), str(money.id)}
        assert "wants refunds" in inbox.text
        skilled = listed(ann.get(f"{INBOX}?skilled=1").text)
        assert skilled == [str(free.id)]
        assert str(leads.id) not in ann.get("/console").text
        assert ann.get(f"{INBOX}/{leads.id}").status_code == 404
        fields = hidden_fields(inbox.text, f"{INBOX}/{free.id}/claim")
        for form in ("claim", "release", "decide", "hand-over"):
            data = {**fields, "ruling": "approve", "text": "x", "person": "ann"}
            assert ann.post(f"{INBOX}/{leads.id}/{form}", data=data).status_code == 404
        assert "Approved" in decide(ann, money, "approve").text
    assert read_item(site, leads).state == "waiting"
    assert read_item(site, money).decided_by == "ann@example.com"
