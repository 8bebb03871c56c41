"""The page of quality: its figures, its charts under the content policy, and whose they are."""

import random
import re
from datetime import timedelta
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import httpx2
import pytest
from sqlalchemy import func, select, update

from fleet_workers.desk_file import SamplingSection
from fleet_workers.janitor.sample import QualityClerk
from fleet_workers.review.binding import Ruling
from fleet_workers.review.labelling import keep_label
from fleet_workers.store import reviews
from fleet_workers.store.desk_tables import chore_marks, labels, samples
from fleet_workers.store.tables import tasks
from fleet_workers.web.console.charts import (
    Interval,
    Line,
    draw_bars,
    draw_calibration,
    draw_intervals,
    draw_lines,
    percent,
)
from support.ended_tasks import Ended, any_ended, write_ended
from support.web_server import Site

HOSTILE = "<script>alert('1')</script>\"><b>{{ 7 * 7 }}"


def counted(site: Site, *ended: Ended, share: float = 1.0) -> None:
    """The tasks have ended, and a clerk has passed them."""

    def send(_letters: object) -> None:
        """Leave them in the outbox."""

    clerk = QualityClerk(
        site.engine,
        catalogue=site.resources.catalogue,
        section=SamplingSection(share=share),
        send=send,
    )
    clerk.work()
    with site.engine.begin() as connection:
        past = func.now() - timedelta(days=100)
        connection.execute(update(chore_marks).values(at=past, id=UUID(int=0)))
    write_ended(site.engine, ended)
    while clerk.work():
        pass


def judged(site: Site, right: int) -> None:
    """People have judged all that was drawn; so many were right, of each agent the first ones."""
    seen: dict[str, int] = {}
    with site.engine.begin() as connection:
        for sample in connection.execute(select(samples).order_by(samples.c.task_id)).all():
            item = reviews.record_decision(connection, sample.review_id, {}, decided_by="ann")
            seen[item.agent] = seen.get(item.agent, 0) + 1
            ruling = Ruling.APPROVE if seen[item.agent] <= right else Ruling.REJECT
            keep_label(connection, item, ruling, "Wrong." if ruling is Ruling.REJECT else "")


def words_of(page: httpx2.Response) -> str:
    text = re.sub(r"<svg.*?</svg>", " ", page.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_an_empty_fleet_has_a_page_that_says_so(site: Site) -> None:
    with site.browser("viewer", "acme") as browser:
        page = browser.get("/console/quality")
        assert page.status_code == 200
        assert "Nothing has ended in these 30 days" in words_of(page)
        assert "<svg" not in page.text
        assert 'href="/console/quality" aria-current="page"' in browser.get("/console/quality").text


def test_figures_of_a_tenant_and_of_the_fleet(site: Site) -> None:
    ended = [Ended(took=timedelta(seconds=3)) for _ in range(30)]
    escalated = [Ended(reviewed=True) for _ in range(10)]
    others = [Ended(tenant="globex", agent="onboarding") for _ in range(60)]
    counted(site, *ended, *escalated, *others)
    judged(site, right=27)
    with site.browser("viewer", "acme") as browser:
        words = words_of(browser.get("/console/quality"))
        assert "40 tasks ended" in words
        assert "25 % put before a person" in words
        assert "90 % right (90 % to 90 %)" in words  # all of them were judged
        assert "$0.0800 for model calls" in words
        assert "onboarding" not in words
    with site.browser("operator", "*") as browser:
        words = words_of(browser.get("/console/quality"))
        assert "100 tasks ended" in words
        assert "10 % put before a person" in words
        words = words_of(browser.get("/console/quality?agent=onboarding&days=7"))
        assert "60 tasks ended" in words
        assert "45 % right" in words


def test_what_reviewers_say_over_http_is_what_the_page_tells(site: Site) -> None:
    counted(site, *(Ended(confidence=0.72) for _ in range(12)))
    with site.client("reviewer") as client:
        items = client.get("/v1/reviews", params={"kind": "sampled"}).json()["reviews"]
        assert len(items) == 12
        for place, item in enumerate(items):
            verdict = ("approve", {}) if place else ("reject", {"reason": "Wrong."})
            answer = client.post(f"/v1/reviews/{item['id']}/{verdict[0]}", json=verdict[1])
            assert answer.status_code == 200, answer.text
            assert answer.json()["state"] == "resumed"
    with site.engine.connect() as connection:
        kept = connection.execute(select(labels)).all()
        states = connection.execute(select(tasks.c.state).distinct()).scalars().all()
    assert sum(label.right for label in kept) == 11
    assert {(label.stratum, label.weight) for label in kept} == {("low/familiar", 1.0)}
    assert states == ["succeeded"]
    with site.browser("viewer", "acme") as browser:
        assert "92 % right" in words_of(browser.get("/console/quality"))


def test_few_verdicts_give_no_share(site: Site) -> None:
    counted(site, *(Ended() for _ in range(9)))
    judged(site, right=9)
    with site.browser("viewer", "acme") as browser:
        page = browser.get("/console/quality")
    assert "right: too few judged" in words_of(page)
    assert "9 9 too few" in words_of(page)
    assert 'aria-label="Share of answers' not in page.text


def test_the_offline_models_figures_are_shown_only_where_there_are_no_others(site: Site) -> None:
    counted(site, *(Ended(model="offline-small") for _ in range(3)))
    with site.browser("viewer", "acme") as browser:
        words = words_of(browser.get("/console/quality"))
        assert "built-in offline model" in words
        assert "3 tasks ended" in words
    counted(site, Ended(ago=timedelta(minutes=2)))
    with site.browser("viewer", "acme") as browser:
        words = words_of(browser.get("/console/quality"))
        assert "offline model" not in words
        assert "1 task ended" in words


def test_every_period_and_charts_for_all(site: Site) -> None:
    chance = random.Random(3)  # noqa: S311 chance that a seed repeats
    ended = [any_ended(chance, ago=timedelta(hours=chance.uniform(1, 2000))) for _ in range(300)]
    counted(site, *ended)
    judged(site, right=250)
    with site.client() as client:
        path = f"/v1/tasks/{ended[0].id}/feedback"
        assert client.post(path, json={"rating": "bad"}).status_code == 201
    with site.browser("viewer", "acme") as browser:
        for days in (7, 30, 90):
            page = browser.get(f"/console/quality?days={days}")
            drawn = re.findall(r"<svg.*?</svg>", page.text, flags=re.DOTALL)
            assert len(drawn) == 6
            assert page.text.count("<table") == 6
            for forbidden in ("<style", "style=", "<script>", "onclick", "javascript:"):
                assert forbidden not in page.text
            for each in drawn:
                root = ET.fromstring(each)  # noqa: S314 our own
                assert root.attrib["role"] == "img"
                assert root.attrib["aria-label"]
        policy = page.headers["content-security-policy"]
        assert "style-src 'self'" in policy
        assert browser.get("/console/static/charts.css").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "agent=nobody",
        "agent=%3Cscript%3E",
        "agent=" + "x" * 100,
        "days=0",
        "days=-1",
        "days=31",
        "days=99999999999999999999",
        "agent='%20OR%201=1",
    ],
)
def test_odd_questions_get_a_page(site: Site, query: str) -> None:
    counted(site, Ended())
    with site.browser("viewer", "acme") as browser:
        page = browser.get(f"/console/quality?{query}")
        assert page.status_code == 200
        assert "<script>" not in page.text
    assert site.count("quality_days") == 2


def test_strangers_sign_in_first_and_wrong_addresses_lead_nowhere(site: Site) -> None:
    assert httpx2.get(f"{site.url}/console/quality").status_code == 303
    with site.browser("viewer", "acme") as browser:
        assert browser.get("/console/quality?days=week").status_code == 404
        assert browser.get("/console/quality?agent=" + "x" * 101).status_code == 404


def test_charts_keep_names_as_text_and_bear_any_values() -> None:
    days = [f"{each} May" for each in range(1, 91)]
    gaps: list[Any] = [None if each % 3 else each / 90 for each in range(90)]
    drawn = [
        draw_lines(HOSTILE, days, [Line(name=HOSTILE, values=gaps)] * 2, words=percent, top=1),
        draw_lines("none", days[:1], [Line(name="x", values=[0.0])], words=percent, top=None),
        draw_bars(HOSTILE, days, [Line(name=HOSTILE, values=[0.0] * 90)] * 2, words=percent),
        draw_bars("huge", days[:1], [Line(name="x", values=[1e12])], words=percent),
        draw_intervals(HOSTILE, [Interval(name=HOSTILE, share=1, low=0.9, high=1)]),
        draw_calibration(HOSTILE, [(0.7, 0.0), (1, 1)]),
    ]
    for each in drawn:
        assert "<script>" not in each
        assert "<b>" not in each
        assert "style" not in each
        root = ET.fromstring(each)  # noqa: S314 our own
        assert all("}" in node.tag for node in root.iter())
