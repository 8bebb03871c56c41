import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fleet_contracts.errors import ConfigurationError
from fleet_workers.telemetry.sentry import configure_sentry
from support.failing_process import REQUEST
from support.ports import free_port
from support.sentry_receiver import SentryReceiver, sentry_receiver

SECRETS = ("4111", "ada@example.com", "charged twice", REQUEST)


def _run(dsn: str) -> tuple[subprocess.CompletedProcess[str], float]:
    begun = time.monotonic()
    done = subprocess.run(
        (sys.executable, "-m", "support.failing_process", dsn),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, time.monotonic() - begun


@pytest.fixture(scope="module")
def reported() -> SentryReceiver:
    with sentry_receiver() as receiver:
        done, _ = _run(receiver.dsn)
    assert done.returncode == 1, done.stderr
    for line in done.stderr.splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            assert not any(words in json.dumps(told) for words in SECRETS), line
    return receiver


def _by_group(receiver: SentryReceiver) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for event in receiver.events:
        groups.setdefault(tuple(event["fingerprint"]), []).append(event)
    return groups


def test_the_unexpected_is_grouped_by_class_and_place_and_the_expected_not_reported(
    reported: SentryReceiver,
) -> None:
    counts = Counter({group: len(events) for group, events in _by_group(reported).items()})
    assert counts == {
        ("ValueError", "__main__._quote"): 2,
        ("task.dead", "max_deliveries"): 2,
        ("KeyError", "__main__._crash"): 1,
        ("configuration", "__main__.main"): 1,
    }


def test_tags_tell_agent_tenant_and_step_of_which_release_and_where(
    reported: SentryReceiver,
) -> None:
    events = next(
        events for group, events in _by_group(reported).items() if group[0] == "ValueError"
    )
    for number, event in enumerate(events, start=1):
        assert event["tags"] == {
            "process": "worker",
            "agent": "billing",
            "tenant": "acme",
            "step_kind": "tool",
        }
        assert (event["release"], event["environment"]) == ("agent-fleet@9.9", "staging")
        assert event["contexts"]["task"]["task"] == f"task-{number}"


def test_nothing_that_a_customer_wrote_is_sent(reported: SentryReceiver) -> None:
    sent = b"".join(reported.raw).decode()
    assert not [words for words in SECRETS if words in sent]
    for event in reported.events:
        assert not {"breadcrumbs", "request", "user", "extra", "server_name"} & event.keys()
        for value in event.get("exception", {}).get("values", []):
            assert not any("vars" in frame for frame in value["stacktrace"]["frames"])


@pytest.mark.parametrize("trouble", ["away", "hangs", "garbage"])
def test_a_sentry_in_trouble_neither_breaks_nor_holds_up_a_process(trouble: str) -> None:
    if trouble == "away":
        done, seconds = _run(f"http://key@127.0.0.1:{free_port()}/1")
    else:
        with sentry_receiver() as receiver:
            ended = threading.Event()

            def hang() -> tuple[int, bytes]:
                ended.wait(30)
                return 200, b"{}"

            receiver.answer = hang if trouble == "hangs" else lambda: (200, b"\x00\xff garbage")
            done, seconds = _run(receiver.dsn)
            ended.set()
    assert done.returncode == 1
    assert "ConfigurationError" in done.stderr
    assert seconds < 30


def test_a_dsn_that_is_none_is_told_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="SENTRY_DSN cannot be used"):
        configure_sentry("not a dsn")
