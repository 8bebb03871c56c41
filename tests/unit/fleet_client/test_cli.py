"""The command `fleet`, run as a program against a real local server."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.fleet_api_stub import Answer, FleetApiStub, Received

_ID = "0192d0c0-0000-7000-8000-000000000001"
_FLEET = [sys.executable, "-c", "from fleet_client.cli import main; main()"]


def _view(state: str, **more: Any) -> dict[str, Any]:
    return {
        "id": _ID, "tenant": "acme", "agent": "billing", "requested_agent": "auto",
        "state": state, "created_at": datetime.now(tz=UTC).isoformat(), **more,
    }  # fmt: skip


def _fleet(
    folder: Path, *words: str, url: str | None = None, text: bytes = b""
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "FLEET_" not in name}
    if url:
        environment["FLEET_API_URL"] = url
    done = subprocess.run(
        [*_FLEET, *words], cwd=folder, env=environment, input=text, capture_output=True, check=False
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def _accept(received: Received) -> Answer:
    return Answer(status=202, body={"id": received.body.get("id", _ID)})


def test_submit_prints_the_id_alone(tmp_path: Path) -> None:
    with FleetApiStub(_accept) as stub:
        done = _fleet(
            tmp_path, "submit", "Refund?", "--agent", "billing", "--customer", "c1",
            "--session", "s1", "--data", '{"n": 1}', "--priority", "high",
            "--idempotency-key", "k", "--tenant", "acme", url=stub.url,
        )  # fmt: skip
        sent = stub.received[0].body
        assert (done.returncode, done.stdout) == (0, f"{sent['id']}\n")
        assert (sent["session_id"], sent["data"], sent["priority"]) == ("s1", {"n": 1}, "high")


def test_submit_says_when_the_task_may_start(tmp_path: Path) -> None:
    with FleetApiStub(_accept) as stub:
        at = ("submit", "x", "--at", "2026-12-31T08:00+01:00")
        last = ("submit", "x", "--debounce", "order 17", "--debounce-seconds", "2")
        delayed = ("submit", "x", "--delay", "60")
        for words in (at, last, delayed):
            assert _fleet(tmp_path, *words, url=stub.url).returncode == 0
        sent = [each.body for each in stub.received]
    assert datetime.fromisoformat(sent[0]["not_before"]) == datetime(2026, 12, 31, 7, tzinfo=UTC)
    assert (sent[1]["debounce_key"], sent[1]["debounce_seconds"]) == ("order 17", 2)
    assert datetime.fromisoformat(sent[2]["not_before"]) > datetime.now(UTC)


def test_submit_reads_a_file_or_its_input(tmp_path: Path) -> None:
    (tmp_path / "mail.txt").write_text("From a file ✉", encoding="utf-8")
    with FleetApiStub(_accept) as stub:
        assert _fleet(tmp_path, "submit", "--file", "mail.txt", url=stub.url).returncode == 0
        typed = "Typed ✉".encode()
        assert _fleet(tmp_path, "submit", "--file", "-", url=stub.url, text=typed).returncode == 0
        assert [one.body["input"] for one in stub.received] == ["From a file ✉", "Typed ✉"]


@pytest.mark.parametrize(
    ("state", "code"),
    [("succeeded", 0), ("in_review", 3), ("dead", 4), ("rejected", 5), ("cancelled", 6),
     ("expired", 6), ("queued", 7)],
)  # fmt: skip
def test_status_says_by_exit_code_how_a_task_stands(tmp_path: Path, state: str, code: int) -> None:
    with FleetApiStub(Answer(body=_view(state))) as stub:
        done = _fleet(tmp_path, "status", _ID, "--json", url=stub.url)
        assert done.returncode == code
        assert json.loads(done.stdout)["state"] == state


def test_submit_and_wait_prints_the_answer(tmp_path: Path) -> None:
    outcome = {"kind": "answered", "answer": "Refunded.", "confidence": 0.9, "offline": True}
    with FleetApiStub(_accept, Answer(body=_view("succeeded", outcome=outcome))) as stub:
        done = _fleet(tmp_path, "submit", "x", "--wait", url=stub.url)
        assert done.returncode == 0
        assert done.stdout == "succeeded (billing, confidence 0.90) [offline model]: Refunded.\n"


def test_watch_prints_each_step_once_then_the_outcome(tmp_path: Path) -> None:
    steps = [
        {"seq": 1, "kind": "plan", "name": "plan", "state": "done"},
        {"seq": 2, "kind": "tool", "name": "refund", "state": "started"},
    ]
    looks = 0

    def serve(received: Received) -> Answer:
        nonlocal looks
        if received.path.endswith("/journal"):
            done = [*steps[:1], {**steps[1], "state": "done"}]
            return Answer(body={"steps": steps if looks < 2 else done})
        looks += 1
        return Answer(body=_view("running" if looks < 2 else "in_review"), delay_seconds=1.05)

    with FleetApiStub(serve) as stub:
        done = _fleet(tmp_path, "watch", _ID, url=stub.url)
        assert done.returncode == 3
        lines = [line.split() for line in done.stdout.splitlines()]
        assert lines == [
            ["1", "plan", "plan", "done"],
            ["2", "tool", "refund", "started"],
            ["2", "tool", "refund", "done"],
            ["in_review", "(billing)"],
        ]


def test_watch_ends_when_its_time_is_up(tmp_path: Path) -> None:
    def serve(received: Received) -> Answer:
        journal = received.path.endswith("/journal")
        return Answer(body={"steps": []} if journal else _view("running"))

    with FleetApiStub(serve) as stub:
        done = _fleet(tmp_path, "watch", _ID, "--timeout", "0.3", url=stub.url)
        assert (done.returncode, done.stdout) == (7, "running (billing)\n")


def test_cancel(tmp_path: Path) -> None:
    with FleetApiStub(Answer(body=_view("cancelled"))) as stub:
        done = _fleet(tmp_path, "cancel", _ID, url=stub.url)
        assert (done.returncode, done.stdout) == (0, "cancelled (billing)\n")


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("submit", "x"), "FLEET_API_URL"),
        (("status", _ID), "FLEET_API_URL"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, words: tuple[str, ...], remedy: str) -> None:
    done = _fleet(tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("fleet: ")
    assert done.stderr.count("\n") == 1
    assert remedy in done.stderr


def test_a_server_that_is_down_is_one_line(tmp_path: Path) -> None:
    done = _fleet(tmp_path, "submit", "x", url="http://127.0.0.1:1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        ("submit",),
        ("submit", "x", "--file", "y"),
        ("submit", "--file", "missing.txt"),
        ("submit", "x", "--data", "{"),
        ("submit", "x", "--data", "[]"),
        ("submit", "x", "--priority", "urgent"),
        ("submit", "x", "--at", "soon"),
        ("status",),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert _fleet(tmp_path, *words, url="http://127.0.0.1:1").returncode == 2


def test_help_lists_the_exit_codes_and_version_is_known(tmp_path: Path) -> None:
    assert "in review" in _fleet(tmp_path, "--help").stdout
    assert _fleet(tmp_path, "--version").stdout.startswith("fleet ")
