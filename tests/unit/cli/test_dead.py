"""`fleetctl dead` inside this process, on a store of its own; no broker is needed."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from click.testing import Result
from sqlalchemy import Engine
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError, PermanentError
from fleet_workers.cli import cli
from fleet_workers.cli.terminal import console
from fleet_workers.store.engine import open_engine
from fleet_workers.testing import MemoryJournal, ScriptedModel, answer, call, fail, run_agent
from support.databases import temporary_database
from support.graveyard import AGENTS, Graveyard


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=4, application="tests")
        yield url, engine
        engine.dispose()


@pytest.fixture
def graveyard(database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch) -> Graveyard:
    url, engine = database
    monkeypatch.setenv("FLEET_STORE_URL", url.replace("+psycopg", ""))
    monkeypatch.setenv("FLEET_BROKER_URL", "amqp://127.0.0.1:1")
    monkeypatch.setenv("FLEET_AGENTS_PATH", str(AGENTS))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "FLEET_MODEL_SMALL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(console, "width", 240)
    return Graveyard.emptied(engine)


def dead(*words: str) -> Result:
    return CliRunner().invoke(cli, ["dead", *words])


def refused(*words: str) -> str:
    """What a command says that refuses: `main` prints it as one line."""
    result = dead(*words)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def test_list_causes_show_and_discard(graveyard: Graveyard) -> None:
    letters = [graveyard.dead(error=f"No order ord_{n}.") for n in range(3)]
    old = graveyard.dead(error="Refused.", reason="policy", age=timedelta(hours=5))
    listed = dead("list", "--reason", "attempts_used_up", "--limit", "2")
    assert [str(each.id) in listed.stdout for each in (*letters, old)] == [False, True, True, False]
    assert "2 of 3." in listed.stdout
    assert f"--before {letters[1].id}" in listed.stdout
    recent = dead("list", "--until", "2h")
    assert (str(old.id) in recent.stdout, "1 of 1." in recent.stdout) == (True, True)
    causes = dead("causes")
    assert re.search(r"3 .*parcels.*attempts_used_up: No order <id>", causes.stdout), causes.stdout
    shown = dead("show", str(old.id))
    assert json.loads(old.body)["input"] in shown.stdout
    words = ("discard", str(old.id), "--reason", "A test order.")
    assert dead(*words).stdout == "1 discarded.\n"
    assert graveyard.read(old).settled_reason == "A test order."
    assert "was discarded" in refused(*words)
    assert str(old.id) in dead("list", "--settled").stdout


def test_a_dry_run_shows_what_another_release_would_do(
    graveyard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = call("track_parcel", order_id="ord_7")
    refund = call("refund_order", order_id="ord_7", amount_usd="40")
    journal = MemoryJournal()
    with pytest.raises(PermanentError):
        run_agent(
            AGENTS / "parcels",
            "Where is ord_7?",
            model=ScriptedModel([track, fail(PermanentError("broke"))]),
            tools={"track_parcel": {"status": "lost", "price_usd": "40.00"}},
            journal=journal,
        )
    letter = graveyard.dead(input="Where is ord_7?", steps=journal.steps())
    model = ScriptedModel([track, refund, answer("Refunded 40.00.")])
    words = ("replay", "--agent", "parcels", "--dry-run", "--from-start")
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    assert "FLEET_MODEL_SMALL" in refused(*words)
    with model.serve() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("FLEET_MODEL_SMALL", "scripted")
        done = dead(*words, "--agents", str(AGENTS), "--prompt", "v1")
    assert done.exit_code == 0, done.output
    assert "parcels@v1-trial" in done.stdout
    assert "answered: Refunded 40.00." in done.stdout
    assert re.search(r"refund_order \{.*'amount_usd': '40'", done.stdout)
    assert "1 results" in done.stdout
    assert graveyard.task(letter.task_id).state == "dead"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--all", "--agent", "parcels"),
        ("--from-start", "--all"),
        ("--resume", "01a20dc4-8274-72d4-aa65-d2f25751d534"),
    ],
)
def test_a_replay_that_is_not_clear_is_refused(
    graveyard: Graveyard, words: tuple[str, ...]
) -> None:
    letter = graveyard.dead()
    assert refused("replay", *words)
    assert graveyard.read(letter).settled_at is None


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("list", "--since", "yesterday"), "is no time"),
        (("list", "--task", "7"), "task_id"),
        (("causes", "--reason", ""), "reason"),
        (("show", "01a20dc4-8274-72d4-aa65-d2f25751d534"), "No dead letter"),
    ],
)
def test_a_fault_is_named(graveyard: Graveyard, words: tuple[str, ...], fault: str) -> None:
    assert fault in refused(*words)


def test_other_brokers_than_rabbitmq_have_no_dead_letters_of_their_own(
    graveyard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "RabbitMQ does not answer" in refused("broker")
    monkeypatch.setenv("FLEET_BROKER_URL", "redis://127.0.0.1:1")
    assert "has no dead-letter queues of its own" in refused("broker")
