"""Incidents are made in a real store; the right cause comes first, and no notice names anybody."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text
from typer.testing import CliRunner

from fleet_contracts.errors import ConfigurationError
from fleet_workers.cli import cli
from fleet_workers.incident.facts import Bucket, Facts, Present, Scope, Trouble
from fleet_workers.incident.gathering import gather
from fleet_workers.incident.hypotheses import likely_causes
from fleet_workers.incident.report import Audience, Phase, Writer, as_json
from fleet_workers.incident.subjects import subject_of
from fleet_workers.store import audit, pauses
from fleet_workers.store.audit import AuditKind, Entry
from fleet_workers.store.task_events import give_places
from support.databases import temporary_store

SECRET = "Quintilia Vandermeulen"  # a customer's name, which no notice may show
TOOL_DOWN = "refund_payment: the server answered 503."
MODEL_DOWN = "small-1 at https://model.example/v1 answered 429: slow down"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with temporary_store(connections=3) as engine:
        yield engine


class Day:
    """Makes tasks as workers leave them; triggers write the changes of their states."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def task(self, *, agent: str = "billing", release: str | None = "billing@v1-old") -> UUID:
        task_id = uuid4()
        self._run(
            "INSERT INTO tasks (id, tenant, agent, requested_agent, release, state, envelope, "
            "content_hash, customer) VALUES (:id, 'acme', :agent, :agent, :release, 'queued', "
            "CAST(:envelope AS jsonb), 'h', :customer)",
            id=task_id,
            agent=agent,
            release=release,
            envelope=json.dumps({"input": f"I am {SECRET}."}),
            customer=SECRET,
        )
        self._to(task_id, "running")
        return task_id

    def well(self, number: int, **fields: str) -> None:
        for _ in range(number):
            self._to(self.task(**fields), "succeeded")

    def fails(self, number: int, code: str, error: str, *, state: str = "retrying") -> None:
        for _ in range(number):
            task_id = self.task()
            self._run(
                "INSERT INTO steps (task_id, seq, epoch, kind, name, state, request, result) "
                "VALUES (:id, 7, 1, 'failure', :code, 'done', '{}', CAST(:result AS jsonb))",
                id=task_id,
                code=code,
                result=json.dumps({"error": error}),
            )
            self._run(
                "UPDATE tasks SET last_error = CAST(:error AS jsonb) WHERE id = :id",
                id=task_id,
                error=json.dumps({"code": code, "error": error}),
            )
            self._to(task_id, state)

    def asks_people(self, number: int, kind: str, **fields: str) -> list[UUID]:
        made = []
        for _ in range(number):
            task_id = self.task(**fields)
            self._run(
                "UPDATE tasks SET state = 'in_review', outcome = CAST(:outcome AS jsonb) "
                "WHERE id = :id",
                id=task_id,
                outcome=json.dumps({"kind": "escalated", "review_kind": kind}),
            )
            made.append(task_id)
        return made

    def note(self, kind: AuditKind, what: str, **fields: object) -> None:
        audit.add(self._connection, Entry(kind=kind, who="ops", what=what, **fields))  # type: ignore[arg-type] # of a test

    def _to(self, task_id: UUID, state: str) -> None:
        self._run("UPDATE tasks SET state = :state WHERE id = :id", id=task_id, state=state)

    def _run(self, statement: str, **values: object) -> None:
        self._connection.execute(text(statement), values)


def facts_of(engine: Engine, *, breakers: tuple[str, ...] = (), **scope: str) -> Facts:
    now = datetime.now(UTC)
    with engine.begin() as connection:
        give_places(connection, limit=10_000)
        chosen = Scope(since=now - timedelta(hours=1), until=now + timedelta(seconds=5), **scope)
        found = gather(connection, chosen, open_breakers=breakers)
    # The tests run no janitor and no pool, which would be a cause of its own.
    return replace(found, present=replace(found.present, janitors=1, serves_all=True))


def first_cause(facts: Facts) -> str:
    return likely_causes(facts)[0].title


def test_an_hour_without_trouble_is_said_to_be_one(engine: Engine) -> None:
    with engine.begin() as connection:
        Day(connection).well(12)
    facts = facts_of(engine)
    assert likely_causes(facts) == []
    assert (facts.totals["queued"], facts.totals["succeeded"]) == (12, 12)
    assert "No task was in trouble. 12 were queued" in Writer().report(facts, [])


def test_a_tool_that_is_down_is_the_likeliest_cause(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.well(10)
        day.fails(9, "unavailable", TOOL_DOWN)
        day.fails(2, "unavailable", MODEL_DOWN)
        day.note(AuditKind.RELEASE, "billing@v1-old")
    causes = likely_causes(facts_of(engine, breakers=("tool refund_payment",)))
    assert causes[0].title == "The tool refund_payment fails"
    assert causes[0].score == pytest.approx(0.9 * 9 / 11)
    assert "Its circuit breaker is open now." in causes[0].evidence
    assert "9 times: unavailable: refund_payment: the server answered 503." in causes[0].evidence


def test_tools_that_fail_together_point_to_what_they_share(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.well(10)
        for tool, number in (("list_plans", 3), ("list_invoices", 4), ("get_invoice", 2)):
            day.fails(number, "timed_out", f"{tool}: no answer within 20 s.")
    causes = likely_causes(facts_of(engine, breakers=("tool list_plans",)))
    assert causes[0].title == "3 tools fail together"
    assert causes[0].score == pytest.approx(0.95)
    assert "Tasks by tool: list_invoices 4, list_plans 3, get_invoice 2." in causes[0].evidence
    assert "Circuit breakers that are open now: list_plans." in causes[0].evidence


def test_a_first_hour_is_no_rush(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.well(60)
        day.fails(2, "unavailable", MODEL_DOWN)
    facts = facts_of(engine)
    titles = [each.title for each in likely_causes(facts)]
    assert "Many more requests than usual" not in titles
    known = replace(facts, before={**facts.before, "queued": 5})
    assert "Many more requests than usual" in [each.title for each in likely_causes(known)]


def test_a_model_that_refuses_is_the_likeliest_cause(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.fails(8, "unavailable", MODEL_DOWN)
        day.fails(1, "attempts_used_up", MODEL_DOWN, state="dead")
    assert first_cause(facts_of(engine)) == "The model's endpoint fails (small-1)"


def test_a_new_release_that_does_worse_is_the_likeliest_cause(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.well(30)
        day.asks_people(2, "low_confidence")
        day.note(AuditKind.RELEASE, "billing@v2-new")
        day.well(3, release="billing@v2-new")
        day.asks_people(17, "low_confidence", release="billing@v2-new")
    causes = likely_causes(facts_of(engine))
    assert causes[0].title == "The new release billing@v2-new does worse"
    assert "17 of its 20 tasks ended badly" in causes[0].evidence[0]
    assert "2 of 32" in causes[0].evidence[2]


def test_a_release_that_does_as_well_as_the_one_before_is_none(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.well(20)
        day.asks_people(8, "low_confidence")
        day.note(AuditKind.RELEASE, "billing@v2-new")
        day.well(20, release="billing@v2-new")
        day.asks_people(8, "low_confidence", release="billing@v2-new")
    assert likely_causes(facts_of(engine)) == []


def test_a_request_that_kills_its_workers_is_named(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.well(10)
        day.fails(1, "max_deliveries", "5 workers took this task.", state="dead")
    causes = likely_causes(facts_of(engine))
    assert causes[0].title == "A request kills the workers that take it"
    assert "dead show" in causes[0].remedy


def test_a_pause_behind_which_tasks_wait_is_a_cause(engine: Engine) -> None:
    with engine.begin() as connection:
        pauses.pause(
            connection, agent="billing", tenant="*", reason="prices are wrong", paused_by="ops"
        )
        connection.execute(
            text(
                "INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope, "
                "content_hash) VALUES (gen_random_uuid(), 'acme', 'billing', 'billing', 'queued', "
                "'{}', 'h')"
            )
        )
    [cause] = likely_causes(facts_of(engine))
    assert cause.title == "It was paused: paused billing"
    assert "prices are wrong" in cause.evidence[0]


def test_limits_on_money_are_a_cause(engine: Engine) -> None:
    with engine.begin() as connection:
        Day(connection).asks_people(6, "over_budget")
    assert first_cause(facts_of(engine)) == "A limit on money is reached"


def test_another_tenants_troubles_stay_out_where_one_is_chosen(engine: Engine) -> None:
    with engine.begin() as connection:
        Day(connection).fails(3, "unavailable", TOOL_DOWN)
    assert len(facts_of(engine, tenant="acme").affected) == 3
    assert facts_of(engine, tenant="globex").affected == {}
    assert facts_of(engine, agent="onboarding").affected == {}


def test_places_are_found_however_long_the_history(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO task_events (task_id, tenant, agent, state, attempts, at, place) "
                "SELECT gen_random_uuid(), 'acme', 'billing', 'dead', 0, "
                "now() - make_interval(mins => 30000 - n), n FROM generate_series(1, 29000) AS n"
            )
        )
        connection.execute(text("INSERT INTO event_marks (name, place) VALUES ('places', 29000)"))
        Day(connection).fails(2, "unavailable", TOOL_DOWN)
    begun = time.monotonic()
    facts = facts_of(engine)
    assert time.monotonic() - begun < 10
    assert len(facts.affected) == 2
    assert sum(facts.before.values()) == 0


# --- rules over what was written down ------------------------------------------------------------

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def busy_hour(numbers: list[int], **present: object) -> Facts:
    return Facts(
        scope=Scope(since=START, until=START + timedelta(minutes=len(numbers))),
        buckets=tuple(
            Bucket(at=START + timedelta(minutes=place), counts={"queued": number} if number else {})
            for place, number in enumerate(numbers)
        ),
        before={},
        troubles=(),
        is_cut=False,
        acts=(),
        effects=(),
        releases={},
        present=replace(Present(janitors=1), **present),  # type: ignore[arg-type] # of a test
    )


def test_silence_in_a_busy_hour_points_to_the_store() -> None:
    facts = busy_hour([20, 24, 19, 0, 0, 0, 0, 35, 22])
    assert first_cause(facts) == "The store took nothing for a while"
    assert "from 12:03 to 12:07 UTC" in likely_causes(facts)[0].evidence[0]


@pytest.mark.parametrize(
    "numbers", [[0, 0, 0, 0, 20, 24, 19], [20, 24, 19, 0, 0, 0, 0], [1, 0, 0, 0, 0, 2, 1], [20] * 9]
)
def test_a_night_a_stop_or_a_quiet_hour_is_no_silence(numbers: list[int]) -> None:
    titles = [each.title for each in likely_causes(busy_hour(numbers))]
    assert "The store took nothing for a while" not in titles


def test_what_stands_still_now_is_told() -> None:
    facts = busy_hour(
        [5],
        waiting={"billing": 40},
        oldest_seconds={"billing": 300.0},
        unsent=7,
        unsent_error="refused",
        janitors=0,
    )
    titles = [each.title for each in likely_causes(facts)]
    assert titles == [
        "No pool serves billing",
        "The broker does not take messages",
        "No janitor is running",
    ]


@pytest.mark.parametrize(
    ("error", "tools", "subject"),
    [
        ("refund_payment: no answer within 10 s.", (), "tool refund_payment"),
        ("refund_payment failed: KeyError: 'x'", (), "tool refund_payment"),
        ("refund_payment fails for now and is left alone", (), "tool refund_payment"),
        ("tool refund_payment failed 5 times in a row", (), "tool refund_payment"),
        ("model small-1 failed 5 times in a row", (), "model small-1"),
        ("small-1 at https://m.example/v1 answered 500: x", (), "model small-1"),
        ("https://m.example/v1 refuses the key: check", (), "model at https://m.example/v1"),
        ("The store is away.", ("refund_payment",), ""),
        ("", (), ""),
    ],
)
def test_an_error_tells_what_failed(error: str, tools: tuple[str, ...], subject: str) -> None:
    assert subject_of("unavailable", error, tools) == subject


def test_a_write_of_unknown_fate_is_put_down_to_its_tool() -> None:
    assert subject_of("in_doubt", "", ("find", "refund_payment")) == "tool refund_payment"


# --- what people read ----------------------------------------------------------------------------


def test_no_notice_and_no_report_holds_a_word_of_a_customer(engine: Engine) -> None:
    with engine.begin() as connection:
        day = Day(connection)
        day.fails(4, "unavailable", TOOL_DOWN)
        [doubtful] = day.asks_people(1, "in_doubt")
        day.note(AuditKind.EFFECT, "refund_payment in doubt", task_id=doubtful, tenant="acme")
    facts = facts_of(engine)
    causes, writer = likely_causes(facts), Writer()
    texts = [writer.report(facts, causes), json.dumps(as_json(facts, causes))]
    texts += [writer.notice(who, phase, facts, causes) for who in Audience for phase in Phase]
    for each in texts:
        assert SECRET not in each
        assert "Vandermeulen" not in each
        assert not re.search(r"\bNone\b(?! of them)", each)
    assert f"refund_payment in task {doubtful} (in doubt)" in texts[0]
    for notice in (writer.notice(Audience.CUSTOMERS, phase, facts, causes) for phase in Phase):
        assert "refund_payment" not in notice  # what is inside is no customer's business
        assert "acme" not in notice


def test_templates_of_ones_own_stand_in_for_the_fleets(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "customers.md").write_text("We are late: {{ affected }} ({{ phase }}).")
    facts = facts_of(engine)
    writer = Writer(folder=tmp_path)
    assert writer.notice(Audience.CUSTOMERS, Phase.FIRST, facts, []) == "We are late: 0 (first)."
    assert "Customer requests delayed" in writer.notice(Audience.EXECUTIVES, Phase.FIRST, facts, [])
    (tmp_path / "customers.md").write_text("{{ no_such_thing }}")
    with pytest.raises(ConfigurationError, match=r"customers\.md"):
        writer.notice(Audience.CUSTOMERS, Phase.FIRST, facts, [])


def test_the_command_writes_a_folder(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        Day(connection).fails(4, "unavailable", TOOL_DOWN)
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("FLEET_STORE_URL", url)
    monkeypatch.setenv("FLEET_REDIS_URL", "redis://127.0.0.1:9/0")
    run = CliRunner().invoke
    folder = tmp_path / "out"
    assert run(cli, ["incident", "--output", str(folder)]).exit_code == 0
    assert sorted(each.name for each in folder.iterdir()) == [
        "notice-customers.md",
        "notice-executives.md",
        "notice-operators.md",
        "report.md",
    ]
    shown = run(cli, ["incident", "--json", "--since", "30m"])
    [told] = json.loads(shown.stdout.splitlines()[-1])["causes"][:1]
    assert told["title"] == "The tool refund_payment fails"
    assert "Refund" not in run(cli, ["incident", "--notice", "customers"]).stdout
    wrong = run(cli, ["incident", "--since", "2030-01-01"])
    assert "span is empty" in str(wrong.exception)


def test_a_trouble_knows_its_place() -> None:
    trouble = Trouble(
        task_id=uuid4(),
        tenant="acme",
        agent="billing",
        release=None,
        state="dead",
        at=START,
        code="permanent",
    )
    facts = replace(busy_hour([1]), troubles=(trouble, replace(trouble, state="queued")))
    assert [each.state for each in facts.affected[trouble.task_id]] == ["dead", "queued"]
