"""Each fault is made, and found, on real servers."""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from fleet_contracts.topology import agent_address, agent_queue_arguments
from fleet_workers.broker.postman import Postman
from fleet_workers.cli import cli
from fleet_workers.doctor import fleet, machine
from fleet_workers.doctor.broker import broker_check
from fleet_workers.doctor.examination import all_checks
from fleet_workers.doctor.finding import Check, Level
from fleet_workers.doctor.memory import memory_check
from fleet_workers.doctor.models import model_checks
from fleet_workers.doctor.outside import outside_checks
from fleet_workers.doctor.rounds import examine
from fleet_workers.doctor.store import store_check
from fleet_workers.settings import Settings
from fleet_workers.store import migrate
from fleet_workers.store.version import TABLES_VERSION
from support.databases import temporary_database
from support.loopback import served
from support.redis_server import RedisServer
from support.servers import RABBITMQ, need

Told = dict[str, list[tuple[str, str, str]]]


def settings(**values: Any) -> Settings:
    return Settings(**values)


def told(checks: list[Check] | Check) -> Told:
    """Findings by check: level, text, remedy."""
    found: Told = {}
    for each in examine(checks if isinstance(checks, list) else [checks], patience_seconds=30):
        finding = each.finding
        line = (finding.level.value, finding.found, finding.remedy)
        found.setdefault(each.name, []).append(line)
    return found


def store_settings(url: str) -> Settings:
    return settings(store_url=url.replace("postgresql+psycopg", "postgresql"))


@contextmanager
def sql(url: str) -> Iterator[Any]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda statement: connection.execute(text(statement))
    engine.dispose()


# --- the store -----------------------------------------------------------------------------------


def test_a_store_that_is_well_is_said_to_be() -> None:
    with temporary_database() as url:
        found = told(store_check(store_settings(url)))
    # The tests' own server has other databases and users, and they sign in as its superuser.
    of_the_server = {"rights", "connections", "upkeep"}
    levels = {name: lines[0][0] for name, lines in found.items() if name not in of_the_server}
    assert set(levels.values()) == {"ok"}, found
    assert set(levels) >= {"server", "tables", "clock"}
    assert set(found) >= of_the_server


@pytest.mark.parametrize(
    ("statement", "name", "level", "words"),
    [
        ("UPDATE alembic_version SET version_num = '0008'", "tables", "failed", "0008"),
        ("DELETE FROM alembic_version", "tables", "failed", "none"),
        ("UPDATE alembic_version SET version_num = '9998'", "tables", "warning", "9998"),
        ("ALTER TABLE tasks DISABLE ROW LEVEL SECURITY", "tenants kept apart", "failed", "tasks"),
    ],
)
def test_faults_of_the_tables_are_found(statement: str, name: str, level: str, words: str) -> None:
    with temporary_database() as url:
        with sql(url) as run:
            run(statement)
        [(found_level, text_, remedy)] = told(store_check(store_settings(url)))[name]
    assert (found_level, bool(remedy)) == (level, True)
    assert words in text_


def test_tables_that_are_too_new_ask_for_the_newer_release() -> None:
    with temporary_database() as url:
        with sql(url) as run:
            run("UPDATE alembic_version SET version_num = '9998'")
            run("UPDATE compatibility SET oldest_code = '9990'")
        [(level, found, remedy)] = told(store_check(store_settings(url)))["tables"]
    assert level == "failed"
    assert TABLES_VERSION in found
    assert remedy == "Start the newer release."


def test_a_user_without_rights_is_found() -> None:
    role = f"frail_{uuid4().hex[:8]}"
    with temporary_database() as url, sql(url) as run:
        run(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        try:
            weak = make_url(url).set(username=role, password="secret")
            found = told(store_check(store_settings(weak.render_as_string(hide_password=False))))
        finally:
            run(f"DROP OWNED BY {role}")
            run(f"DROP ROLE {role}")
    assert [level for level, *_ in found["rights"]] == ["failed", "failed"]
    assert "GRANT fleet_tenant" in found["rights"][1][2]


def test_a_transaction_that_stays_open_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_workers.doctor.store._LONG_TRANSACTION_MINUTES", 0)
    with temporary_database() as url:
        engine = create_engine(url, connect_args={"application_name": "forgotten"})
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            lines = told(store_check(store_settings(url)))["long transactions"]
        engine.dispose()
    assert any("forgotten" in found and "pg_terminate" in remedy for _, found, remedy in lines)


def test_a_clock_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr("fleet_workers.doctor.store.time.time", lambda: now() + 90)
    with temporary_database() as url:
        [(level, found, remedy)] = told(store_check(store_settings(url)))["clock"]
    assert level == "warning"
    assert " s apart" in found
    assert "NTP" in remedy


# --- the broker ----------------------------------------------------------------------------------


@pytest.fixture
def agent() -> Iterator[str]:
    need("RabbitMQ")
    name = f"doctored_{uuid4().hex[:8]}"
    yield name
    with Connection(RABBITMQ) as connection:
        channel: Any = connection.default_channel
        for queue in (agent_address(name), f"{agent_address(name)}.dead"):
            channel.queue_delete(queue)


def test_queues_that_a_pool_made_are_as_they_should_be(agent: str) -> None:
    with temporary_database() as url:
        engine = create_engine(url)
        postman = Postman(engine, RABBITMQ)
        postman.declare([agent])
        postman.close()
        engine.dispose()
    found = told(broker_check(settings(broker_url=RABBITMQ), [agent]))
    assert found["server"][0][0] == "ok"
    assert not [line for line in found["queues"] if agent in line[1]]


def test_a_queue_with_other_arguments_is_found_and_left_as_it_is(agent: str) -> None:
    wrong = {**agent_queue_arguments(agent), "x-delivery-limit": 99}
    with Connection(RABBITMQ) as connection:
        channel: Any = connection.default_channel
        channel.queue_declare(
            agent_address(agent), durable=True, auto_delete=False, arguments=wrong
        )
    found = told(broker_check(settings(broker_url=RABBITMQ), [agent]))
    [fault] = [line for line in found["queues"] if line[0] == "failed"]
    assert agent_address(agent) in fault[1]
    assert "x-delivery-limit" in fault[1]
    [missing] = [line for line in found["queues"] if "Not there yet" in line[1]]
    assert f"{agent_address(agent)}.dead" in missing[1]
    with Connection(RABBITMQ) as connection:  # what was not there was not made
        channel = connection.default_channel
        with pytest.raises(Exception, match="NOT_FOUND"):
            channel.queue_declare(f"{agent_address(agent)}.dead", passive=True)


def test_a_broker_that_refuses_us_is_named_without_the_password() -> None:
    need("RabbitMQ")
    url = make_url(RABBITMQ).set(username="nobody", password="hunter2")
    found = told(broker_check(settings(broker_url=url.render_as_string(hide_password=False)), []))
    assert found["server"][0][0] == "failed"
    assert "hunter2" not in json.dumps(found)


# --- Redis ---------------------------------------------------------------------------------------


def test_faults_of_redis_are_found(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        here = settings(redis_url=server.url)
        assert {line[0] for lines in told(memory_check(here)).values() for line in lines} == {"ok"}
        server.configure("maxmemory-policy", "allkeys-lru")
        server.configure("maxmemory", "1mb")
        lines = told(memory_check(here))["memory"]
        assert [level for level, *_ in lines] == ["warning", "warning"]
        server.stall()
        begun = time.monotonic()
        [line] = told(memory_check(here))["server"]
        assert line[0] == "failed"
        assert time.monotonic() - begun < 25
        server.go_on()
    finally:
        server.kill()
    assert told(memory_check(here))["server"][0][0] == "failed"


# --- models and what is outside ------------------------------------------------------------------


@contextmanager
def listing(status: int, body: object) -> Iterator[str]:
    """An endpoint that lists models like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: Any) -> None:
            pass

    with served(Handler) as port:
        yield f"http://127.0.0.1:{port}/v1"


def model_settings(url: str, *names: str) -> Settings:
    return settings(OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-hidden", model_small=names)


@pytest.mark.parametrize(
    ("status", "body", "level", "words"),
    [
        (200, {"data": [{"id": "small-1"}]}, "ok", "takes our key"),
        (200, {"data": [{"id": "other"}]}, "failed", "does not have small-1"),
        (401, {"error": "no"}, "failed", "refuses our key"),
        (404, {"error": "no"}, "warning", "does not list its models"),
        (200, ["odd"], "warning", "does not list its models"),
    ],
)
def test_an_endpoint_is_asked_what_it_has(
    status: int, body: object, level: str, words: str
) -> None:
    with listing(status, body) as url:
        [line] = told(model_checks(model_settings(url, "small-1")))["endpoint"]
    assert line[0] == level
    assert words in line[1]
    assert "sk-hidden" not in json.dumps(line)


def test_a_model_without_a_price_is_named() -> None:
    lines = told(model_checks(model_settings("http://127.0.0.1:9/v1", "nobody-knows")))
    assert lines["endpoint"][0][0] == "failed"
    assert any("nobody-knows" in found for _, found, _ in lines["prices"])


def test_what_is_called_must_take_connections(tmp_path: Path) -> None:
    desk = tmp_path / "desk.toml"
    desk.write_text(
        '[[webhooks]]\nname = "desk"\nurl = "http://127.0.0.1:9/hook"\nsecret = "HOOK_SECRET"\n'
    )
    with socket.create_server(("127.0.0.1", 0)) as open_port:
        business = f"http://127.0.0.1:{open_port.getsockname()[1]}"
        found = told(outside_checks(settings(desk=desk), {"FLEET_BUSINESS_URL": business}))
    assert found["business system"][0][0] == "ok"
    assert [level for level, *_ in found["desk"]] == ["failed", "warning", "ok"]
    assert "HOOK_SECRET" in found["desk"][0][1]


# --- the fleet's own state -----------------------------------------------------------------------


def test_tasks_without_a_pool_and_a_fleet_without_a_janitor_are_found() -> None:
    with temporary_database() as url:
        with sql(url) as run:
            run(
                "INSERT INTO tasks (id, tenant, agent, requested_agent, state, envelope, "
                "content_hash) SELECT gen_random_uuid(), 'acme', name, name, 'queued', '{}', 'h' "
                "FROM unnest(ARRAY['billing', 'gone']) AS name"
            )
            run(
                "INSERT INTO outbox (exchange, routing_key, headers, properties, body, created_at, "
                "last_error) VALUES ('', 'x', '{}', '{}', '', now() - interval '1 hour', 'refused')"
            )
        found = told(fleet.fleet_checks(store_settings(url)))
    assert ("failed", "1 open tasks wait for billing, and no pool serves it.") in [
        line[:2] for line in found["pools"]
    ]
    assert any("gone, which is not installed" in text_ for _, text_, _ in found["pools"])
    assert found["janitor"][0][0] == "failed"
    assert "refused" in found["outbox"][0][1]


def test_a_folder_of_agents_that_is_wrong_is_found_and_hides_nothing(tmp_path: Path) -> None:
    with temporary_database() as url:
        wrong = store_settings(url).model_copy(update={"agents_path": (tmp_path / "gone",)})
        found = told(fleet.fleet_checks(wrong))
        assert fleet.installed_agents(wrong)[-1] == "auto"
    assert found["agents"][0][0] == "failed"
    assert "dead letters" in found


# --- the machine, and the command ----------------------------------------------------------------


def variables(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return told(machine.machine_checks(environment))["variables"]


def test_a_misspelt_variable_is_told_with_the_right_one() -> None:
    [(level, found, remedy)] = variables({"FLEET_SLOTTS": "3", "FLEET_SLOTS": "3"})
    assert level == "warning"
    assert "FLEET_SLOTTS" in found
    assert "FLEET_SLOTS?" in remedy
    assert variables({"FLEET_SLOTS": "3", "FLEET_API_URL": "x", "PATH": "y"})[0][0] == "ok"


def test_packages_that_are_missing_or_too_old_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fleet_workers.doctor.machine.metadata.requires",
        lambda _: ["celery<1", "no-such-package>=2", "other; extra == 'never'"],
    )
    [(level, found, _)] = told(machine.machine_checks({}))["packages"]
    assert level == "failed"
    assert "celery" in found
    assert "no-such-package is missing" in found
    assert "other" not in found


def test_with_everything_away_it_ends_soon_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [each for each in os.environ if each.startswith(("FLEET_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_port = silent.getsockname()[1]  # takes connections and never answers
        monkeypatch.setenv("FLEET_STORE_URL", f"postgresql://u:hunter2@127.0.0.1:{silent_port}/f")
        monkeypatch.setenv("FLEET_BROKER_URL", f"amqp://u:hunter2@127.0.0.1:{silent_port}//")
        monkeypatch.setenv("FLEET_REDIS_URL", f"redis://:hunter2@127.0.0.1:{silent_port}/0")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{silent_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
        monkeypatch.setenv("FLEET_MODEL_SMALL", "small-1")
        begun = time.monotonic()
        result = CliRunner().invoke(cli, ["doctor", "--json"])
        took = time.monotonic() - begun
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert took < 30
    assert "hunter2" not in result.stdout
    assert report["level"] == Level.FAILED
    failing = {each["group"] for each in report["checks"] if each["level"] == "failed"}
    assert {"store", "broker", "redis", "models"} <= failing
    assert all(each["remedy"] for each in report["checks"] if each["level"] != "ok")


def test_every_check_has_a_place(tmp_path: Path) -> None:
    checks = all_checks(settings(agents_path=(tmp_path,)), {})
    groups = [check.group for check in checks]
    assert list(dict.fromkeys(groups)) == [
        "machine",
        "store",
        "broker",
        "redis",
        "models",
        "fleet",
        "outside",
    ]


def test_the_next_migration_is_asked_for() -> None:
    with temporary_database(migrated=False) as url:
        migrate.upgrade(url, to="0008")
        [(level, _, remedy)] = told(store_check(store_settings(url)))["tables"]
    assert level == "failed"
    assert "fleetctl db upgrade" in remedy
