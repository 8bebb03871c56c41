import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console

from fleet_workers.embedded.inbox import read_inbox
from fleet_workers.embedded.inbox_report import all_settled, print_sums, print_table, run_line
from fleet_workers.embedded.inbox_run import InboxResult, InboxRun, open_client
from fleet_workers.embedded.supervisor import StopRequested

NOW = "2026-01-05T10:00:00Z"
LATER = "2026-01-05T10:00:02Z"


class FakeFleet:
    """A web process: each task is settled at its second look, in the state its text names."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = {}
        self.open_sessions: list[str] = []
        self.failures = 2

    def post(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.failures:
            self.failures -= 1
            return 503, {}
        if body["tenant"] == "nobody":
            return 422, {"detail": "No tenant is called 'nobody'."}
        task_id = str(uuid4())
        self.tasks[task_id] = body
        if session := body.get("session_id"):
            assert session not in self.open_sessions
            self.open_sessions.append(session)
        return 202, {"id": task_id}

    def get(self, task_id: str) -> tuple[int, dict[str, Any]]:
        body = self.tasks[task_id]
        self.looks[task_id] = self.looks.get(task_id, 0) + 1
        view = {
            "id": task_id,
            "tenant": body["tenant"],
            "agent": "billing",
            "requested_agent": body["agent"],
            "state": "running",
            "created_at": NOW,
        }
        if self.looks[task_id] < 2:
            return 200, view
        if (session := body.get("session_id")) in self.open_sessions:
            self.open_sessions.remove(session)
        state, kind = body["input"].split()[:2]
        outcome = {"kind": kind, "tools_used": ["find_invoice", "refund"], "confidence": 0.91}
        return 200, {**view, "state": state, "finished_at": LATER, "outcome": outcome}


@contextmanager
def serving(fleet: FakeFleet) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._answer(fleet.post(json.loads(self.rfile.read(length))))

        def do_GET(self) -> None:
            self._answer(fleet.get(self.path.rpartition("/")[2]))

        def _answer(self, answer: tuple[int, dict[str, Any]]) -> None:
            content = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


Work = Callable[..., list[InboxResult]]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    def run(*lines: dict[str, Any], stop: threading.Event | None = None) -> list[InboxResult]:
        path = tmp_path / "inbox.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines))
        with serving(FakeFleet()) as url, open_client(url, "key") as client:
            event = stop or threading.Event()
            return InboxRun(client, read_inbox(path), stop_requested=event).work()

    return run


def test_every_request_gets_its_row_and_the_sums_are_right(work: Work) -> None:
    expect = {"agent": "billing", "outcome": "answered"}
    results = work(
        {"text": "succeeded answered it, [bold]done[/bold] " + "x" * 200, "expect": expect},
        {"text": "in_review review please", "expect": expect},
        {"text": "dead dead"},
        {"text": "succeeded asked", "tenant": "nobody"},
    )
    console = Console(record=True, width=100)
    print_table(console, results)
    print_sums(console, results)
    shown = console.export_text()
    assert "succeeded answered it, [bold]" in shown
    assert "as labelled: 1 of 2 (agent 2, outcome 1)" in shown
    assert "No tenant is called 'nobody'." in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert run_line(results) == "run: 3 tasks, 1 resolved, 1 in review, 1 dead"
    assert results[0].seconds == 2.0
    assert not all_settled(results)


def test_a_session_goes_on_only_after_its_last_answer(work: Work) -> None:
    turn = {"text": "succeeded answered", "session_id": "s"}
    results = work(turn, turn, {"text": "succeeded answered"}, turn)
    assert all_settled(results)
    assert len(results) == 4


def test_a_run_ends_early_when_the_fleet_stops(work: Work) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StopRequested):
        work({"text": "succeeded answered"}, stop=stop)
