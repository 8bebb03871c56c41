"""`fleetctl reviews` as an operator types it."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from fleet_contracts.envelope import build_envelope
from fleet_contracts.errors import FleetError
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.cli import cli
from fleet_workers.store import accounts, claims, endings, reviews, tasks, views
from fleet_workers.store.claims import Holder
from fleet_workers.store.engine import open_engine
from support.databases import temporary_database

SPAN = timedelta(minutes=5)


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, Engine]]:
    with temporary_database() as url:
        engine = open_engine(url, connections=2, application="tests")
        with engine.begin() as connection:
            accounts.add_tenant(connection, "acme")
        yield url, engine
        engine.dispose()


@pytest.fixture
def engine(database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    url, engine = database
    monkeypatch.setenv("FLEET_STORE_URL", url)
    monkeypatch.setenv("FLEET_BROKER_URL", "amqp://nobody@127.0.0.1:1//")
    monkeypatch.setenv("FLEET_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("COLUMNS", "200")
    return engine


def parked(engine: Engine, answer: str = "In Lyon.") -> UUID:
    envelope = build_envelope(tenant="acme", agent="billing", input="Where?")
    with engine.begin() as connection:
        tasks.accept(connection, envelope, traceparent=None)
        holder = Holder(worker="w", presence=1, lease=SPAN, silence=SPAN)
        held = claims.claim(connection, envelope.id, holder)
        assert held is not None
        kind = ReviewKind.LOW_CONFIDENCE
        outcome = Outcome(kind=OutcomeKind.REVIEW, reason="r", review_kind=kind)
        endings.leave(connection, held, endings.parked(outcome, "billing@v1-0"))
        return reviews.add(
            connection,
            task_id=envelope.id,
            tenant="acme",
            agent="billing",
            kind=kind,
            reason="r",
            packet={"proposal": {"answer": answer, "plan": 1}},
        ).id


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["reviews", *map(str, words)])


def refused(*words: object) -> str:
    result = run(*words)
    assert isinstance(result.exception, FleetError), result.output
    return str(result.exception)


def answer_of(engine: Engine, review_id: UUID) -> str | None:
    with engine.begin() as connection:
        item = reviews.get(connection, review_id, tenant=None)
        assert item is not None
        view = views.view(connection, item.task_id, tenant=None)
    assert view is not None
    assert view.outcome is not None
    return view.outcome.answer


def test_an_item_is_listed_claimed_and_edited(engine: Engine) -> None:
    review_id = parked(engine)
    assert str(review_id) in run("list").stdout
    assert str(review_id) not in run("list", "--mine").stdout
    assert "is yours until" in run("claim", review_id, "--minutes", 5).stdout
    assert str(review_id) in run("list", "--mine").stdout
    assert run("release", review_id).exit_code == 0
    done = run("edit", review_id, "--answer", "In Paris.")
    assert f"Review {review_id}: edit." in done.stdout, done.output
    assert answer_of(engine, review_id) == "In Paris."
    assert "already by fleetctl" in refused("approve", review_id)


def test_an_item_is_asked_about_refused_and_given_away(engine: Engine) -> None:
    asked, ended, given, passed_on = (parked(engine) for _ in range(4))
    assert run("ask", asked, "--text", "Which?").exit_code == 0
    assert answer_of(engine, asked) == "Which?"
    assert run("reject", ended, "--reason", "No.", "--end").exit_code == 0
    assert run("reassign", given, "--reason", "Yours.", "--group", "leads").exit_code == 0
    assert str(given) in run("list", "--group", "leads").stdout
    assert run("reassign", passed_on, "--reason", "r", "--agent", "onboarding").exit_code == 0
    with engine.begin() as connection:
        item = reviews.get(connection, passed_on, tenant=None)
        assert item is not None
        view = views.view(connection, item.task_id, tenant=None)
    assert view is not None
    assert view.agent == "onboarding"


def test_what_cannot_be_meant_is_refused(engine: Engine) -> None:
    review_id = parked(engine)
    assert "--arguments is not JSON" in refused("edit", review_id, "--arguments", "{")
    assert "must be an object" in refused("edit", review_id, "--arguments", "[]")
    assert "Give either" in refused("edit", review_id)
    assert "proposes no action" in refused("edit", review_id, "--arguments", "{}")
    assert "Name one who takes over" in refused(
        "reassign", review_id, "--reason", "r", "--agent", "onboarding", "--group", "leads"
    )
    assert "Name the person or the group" in refused("reassign", review_id, "--reason", "r")
