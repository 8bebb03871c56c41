"""Who follows a task by server-sent events misses nothing and hears nothing twice."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import text

from fleet_contracts.errors import Unavailable
from fleet_contracts.outcome import Outcome, OutcomeKind
from fleet_workers.store import endings, task_events, tasks
from fleet_workers.store.journal import StepKind, StoredJournal
from fleet_workers.web.streams import News, StreamRoom
from support.web_server import Site

DONE = Outcome(kind=OutcomeKind.ANSWERED, answer="Paid back, Mrs Jones.", confidence=0.9)


@dataclass(frozen=True)
class Event:
    id: str
    name: str
    data: Any

    @property
    def said(self) -> str:
        words = {"state": ("state",), "step": ("seq", "kind", "state")}[self.name]
        return " ".join(str(self.data[word]) for word in words)


def events_in(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "event" in fields:
            yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
        fields = {}


@contextlib.contextmanager
def following(
    site: Site, path: str, after: str | None = None, **query: Any
) -> Iterator[Iterator[Event]]:
    headers = {"Last-Event-ID": after} if after else {}
    with (
        site.client() as client,
        client.stream("GET", path, headers=headers, params=query) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_in(answer.iter_lines())


def told(site: Site, task_id: UUID, after: str | None = None, seconds: float = 0) -> list[Event]:
    path = f"/v1/tasks/{task_id}/events"
    with following(site, path, after, seconds=seconds) as events:
        return list(events)


def end(site: Site, held: Any) -> None:
    with site.engine.begin() as connection:
        endings.leave(connection, held, endings.succeeded(DONE, "billing@v1-0"))


def worked(site: Site) -> UUID:
    """A task that has run and ended."""
    held = site.claimed()
    site.journal(held)
    end(site, held)
    return held.task_id


WHOLE = [
    "queued",
    "running",
    "0 inbound done",
    "1 plan done",
    "2 tool done",
    "3 gate done",
    "succeeded",
]


def test_a_task_that_has_ended_is_told_from_its_beginning_and_the_stream_ends(site: Site) -> None:
    found = told(site, worked(site), seconds=60)
    assert [each.said for each in found] == WHOLE
    last = found[-1].data
    assert (last["kind"], last["code"], last["agent"]) == ("answered", None, "billing")
    assert "Jones" not in json.dumps([each.data for each in found])
    assert "inv_7" not in json.dumps([each.data for each in found])


def test_wherever_it_is_cut_the_next_stream_goes_on_behind(site: Site) -> None:
    task_id = worked(site)
    whole = told(site, task_id)
    for cut in range(1, len(whole)):
        assert told(site, task_id, after=whole[cut - 1].id) == whole[cut:]
    with site.client() as client:
        over = client.get(f"/v1/tasks/{task_id}/events", headers={"Last-Event-ID": whole[-1].id})
    assert over.status_code == 204  # a browser does not come back then


def test_a_step_that_was_under_way_at_the_cut_is_told_when_it_is_done(site: Site) -> None:
    held = site.claimed()
    journal = StoredJournal(site.engine, held)
    plan = journal.begin(StepKind.PLAN, "billing", {})
    before = told(site, held.task_id)
    assert [each.said for each in before] == ["queued", "running", "0 plan started"]
    assert told(site, held.task_id, after=before[-1].id) == []
    journal.finish(plan, {"text": "", "calls": []})
    journal.record(StepKind.GATE, "approval", {"ruling": "pass"})
    journal.flush()
    end(site, held)
    after = told(site, held.task_id, after=before[-1].id)
    assert [each.said for each in after] == ["0 plan done", "1 gate done", "succeeded"]


def test_what_happens_while_somebody_listens_comes_at_once(site: Site) -> None:
    held = site.claimed()
    with following(site, f"/v1/tasks/{held.task_id}/events") as events:
        assert [next(events).said, next(events).said] == ["queued", "running"]
        end(site, held)
        begun = time.monotonic()
        assert [each.said for each in events] == ["succeeded"]
        assert time.monotonic() - begun < 10


def test_a_replayed_task_goes_on_where_its_follower_stood(site: Site) -> None:
    held = site.claimed()
    with site.engine.begin() as connection:
        dead = Outcome(kind=OutcomeKind.DEAD, reason="x")
        endings.leave(
            connection, held, endings.dead(dead, {"code": "timed_out", "message": "a secret"})
        )
    before = told(site, held.task_id)
    assert (before[-1].said, before[-1].data["code"]) == ("dead", "timed_out")
    with site.engine.begin() as connection:
        connection.execute(
            text("UPDATE tasks SET state = 'queued', finished_at = NULL WHERE id = :id"),
            {"id": held.task_id},
        )
    assert [each.said for each in told(site, held.task_id, before[-1].id)] == ["queued"]


def test_a_task_of_before_changes_were_noted_is_told_as_it_stands(site: Site) -> None:
    held = site.claimed()
    forget = text("DELETE FROM task_events")
    with site.engine.begin() as connection:
        connection.execute(forget)
    (standing,) = told(site, held.task_id, seconds=0.5)
    assert standing.said == "running"
    end(site, held)
    assert [each.said for each in told(site, held.task_id, standing.id)] == ["succeeded"]
    with site.engine.begin() as connection:
        connection.execute(forget)
    assert [each.said for each in told(site, held.task_id, seconds=60)] == ["succeeded"]


def test_a_foreign_task_is_not_there_and_a_foreign_id_is_refused(site: Site) -> None:
    foreign = site.accepted("globex")
    own = site.accepted("acme")
    with site.client() as client:
        assert client.get(f"/v1/tasks/{foreign}/events").status_code == 404
        for wrong in ("0", "0:", "x:y", "1:2:3,", f"{10**30}:1", "-1:0"):
            answer = client.get(f"/v1/tasks/{own}/events", headers={"Last-Event-ID": wrong})
            assert (wrong, answer.status_code) == (wrong, 422)


def place(site: Site) -> None:
    with site.engine.begin() as connection:
        task_events.give_places(connection, limit=100)


def test_all_tasks_of_a_tenant_are_told_and_no_others(site: Site) -> None:
    site.accepted("acme")
    place(site)
    with following(site, "/v1/events", seconds=20) as events:
        first, foreign, second = (site.accepted(each) for each in ("acme", "globex", "acme"))
        place(site)
        found = [next(events), next(events)]
    assert [UUID(each.data["task_id"]) for each in found] == [first, second]
    assert foreign not in [first, second]
    with following(site, "/v1/events", found[0].id, seconds=0) as events:
        assert list(events) == found[1:]
    with following(site, "/v1/events", "0", seconds=0, state="running") as events:
        assert list(events) == []
    with following(site, "/v1/events", "0", seconds=0, agent="billing") as events:
        assert len(list(events)) == 3


def test_a_change_that_commits_late_is_not_missed(site: Site) -> None:
    """Its number is lower than that of a change which readers have seen before."""
    late = site.claimed()
    early = site.claimed()
    place(site)
    with site.engine.connect() as slow, following(site, "/v1/events", seconds=20) as events:
        assert tasks.cancel(slow, late.task_id, tenant="acme")
        end(site, early)
        place(site)
        assert UUID(next(events).data["task_id"]) == early.task_id
        slow.commit()
        place(site)
        assert UUID(next(events).data["task_id"]) == late.task_id


def test_places_have_no_gaps_and_keep_the_order_of_each_task(site: Site) -> None:
    held = [site.claimed() for _ in range(20)]
    stop = threading.Event()

    def keep_placing() -> None:
        while not stop.is_set():
            place(site)

    placers = [threading.Thread(target=keep_placing) for _ in range(3)]
    for each in placers:
        each.start()
    for each in held:
        end(site, each)
    stop.set()
    for each in placers:
        each.join()
    place(site)
    with site.engine.begin() as connection:
        found = task_events.placed_after(connection, 0, tenant=None, limit=1000)
        last = task_events.last_place(connection)
    assert [each.place for each in found] == list(range(last - 59, last + 1))
    for each in held:
        own = [one.change.state for one in found if one.change.task_id == each.task_id]
        assert own == ["queued", "running", "succeeded"]


def wait_for(condition: Callable[[], bool]) -> None:
    end_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_at
        time.sleep(0.05)


def test_a_full_room_refuses_and_has_room_again_once_somebody_left(site: Site) -> None:
    held = site.claimed()
    path = f"/v1/tasks/{held.task_id}/events"
    site.app.state.stream_room = StreamRoom(1)
    try:
        with site.client() as client:
            with following(site, path) as events:
                next(events)
                assert client.get(path).status_code == 503
            wait_for(lambda: client.get(path, params={"seconds": 0}).status_code == 200)
    finally:
        site.app.state.stream_room = StreamRoom()


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_a_store_that_is_away_for_a_moment_ends_no_stream(seconds: float) -> None:
    async def run() -> tuple[list[bytes], int]:
        looks = 0

        async def look() -> News:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise Unavailable("away")
            return News(pieces=(), is_last=True)

        return [each async for each in StreamRoom().stream(look, seconds=seconds)], looks

    chunks, looks = asyncio.run(run())
    assert chunks == [b"retry: 2000\n\n"]
    assert looks == (2 if seconds else 1)


def test_a_silent_stream_gives_signs_of_life(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_workers.web.streams._HEARTBEAT_SECONDS", 0.1)
    task_id = site.accepted("acme")
    with (
        site.client() as client,
        client.stream("GET", f"/v1/tasks/{task_id}/events", params={"seconds": 1}) as answer,
    ):
        assert ": still here" in list(answer.iter_lines())
    assert isinstance(answer, httpx2.Response)
