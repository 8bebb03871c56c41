"""`fleetctl models` inside this process, on a real store and Redis."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import update
from typer.testing import CliRunner

from fleet_contracts.errors import FleetError, Unavailable
from fleet_workers.cli import cli
from fleet_workers.cli.terminal import console
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.capabilities import Lack
from fleet_workers.models.configuration import records_of
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.settings import load_settings
from fleet_workers.store import accounts
from fleet_workers.store.engine import open_engine
from fleet_workers.store.model_tables import model_days
from fleet_workers.store.model_use import Use, note_sums
from support.databases import temporary_database
from support.graveyard import AGENTS
from support.model_endpoint import Told, completion, model_endpoint, refused, told, usage
from support.redis_server import RedisServer

TODAY = datetime.now(UTC).date()
PRICES = f"""
as_of = {TODAY}
[unknown]
input_usd = 20
output_usd = 80
[models.small-1]
input_usd = 0.25
cached_input_usd = 0.05
output_usd = 2.50
"""
USE = Use(
    tenant="acme",
    agent="billing",
    model="small-1",
    tier="small",
    source="model",
    prompt_tokens=1500,
    completion_tokens=100,
    cost_usd=Decimal("0.25"),
    saved_by_tier_usd=Decimal("0.75"),
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A store, and a Redis with what the fleet has found out."""
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    with temporary_database() as store:
        yield store.replace("+psycopg", ""), redis.url
    redis.kill()


@pytest.fixture(autouse=True)
def environment(
    servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.MonkeyPatch:
    store, redis = servers
    (tmp_path / "prices.toml").write_text(PRICES)
    monkeypatch.setenv("FLEET_STORE_URL", store)
    monkeypatch.setenv("FLEET_REDIS_URL", redis)
    monkeypatch.setenv("FLEET_BROKER_URL", "amqp://127.0.0.1:1")
    monkeypatch.setenv("FLEET_AGENTS_PATH", str(AGENTS))
    monkeypatch.setenv("FLEET_MODEL_SMALL", "small-1")
    monkeypatch.setenv("FLEET_MODEL_LARGE", "large-1")
    monkeypatch.setenv("FLEET_PRICES", str(tmp_path / "prices.toml"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.example/v1")
    monkeypatch.setattr(console, "width", 250)
    return monkeypatch


@pytest.fixture
def used(environment: pytest.MonkeyPatch) -> Iterator[None]:
    engine = open_engine(load_settings().sqlalchemy_url, connections=1, application="tests")
    uses = (
        USE,
        replace(USE, source="exact_cache", cost_usd=Decimal(0), saved_usd=Decimal("0.5")),
        replace(USE, source="batch", saved_usd=Decimal("0.125")),
        replace(USE, tenant="other", cost_usd=None),
    )
    with engine.begin() as connection:
        accounts.add_tenant(connection, "acme")
        accounts.add_tenant(connection, "other")
        note_sums(connection, {each.key: each.sums for each in uses})
    yield
    with engine.begin() as connection:
        connection.execute(model_days.delete())
    engine.dispose()


def fleetctl(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def said(*words: str) -> dict[str, Any]:
    result = fleetctl("models", "--json", *words)
    assert result.exception is None, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_each_model_is_shown_with_what_is_known_of_it() -> None:
    settings = load_settings()
    with closing(open_link(settings.redis_url)) as link:
        found = records_of(settings, link)
        found.learn(Candidate(model="small-1"), [Lack.TOOL_CHOICE], seconds=60)
        found.learn(Candidate(model="large-1"), [Lack.SERVICE], seconds=60)
        breakers = Breakers(failures=1, link=link)

        def fail() -> None:
            raise Unavailable("down")

        with pytest.raises(Unavailable):
            breakers.call("model large-1", fail)
    shown = fleetctl("models").stdout
    where = r"http://models\.example/v1"
    assert re.search(
        rf"small-1 .*{where}.*small, medium.*0\.25 / 2\.5 .*closed.*tool_choice", shown
    )
    assert re.search(rf"large-1 .*{where}.* large .*20 / 80 \(cap\).*open.*service", shown)
    assert "refuses our key, or has no such model" in shown
    small, large = said()["models"]
    assert (small["model"], small["price"], small["breaker"]) == ("small-1", "named", "closed")
    assert 0 < small["lacks"]["tool_choice"] <= 60
    assert (large["price"], large["breaker"], set(large["lacks"])) == (
        "capped",
        "open",
        {"service"},
    )


def test_use_and_savings_are_shown_by_tenant_and_agent(used: None) -> None:
    shown = fleetctl("models").stdout
    assert re.search(
        r"acme .*billing .*small-1 .*small .*exact_cache .*1 .*1,500 .*100 .*0\.00 USD", shown
    )
    # calls, cost; given again and saved; in batches and saved; saved by tiers
    assert re.search(
        r"acme .*billing .* 3 .*0\.50 USD.* 1 .*0\.50 USD.* 1 .*0\.125 USD.*2\.25 USD", shown
    )
    assert re.search(r"all .* 4 .*0\.50 USD", shown)
    saved = said("--tenant", "acme")["saved"]
    assert [(each["tenant"], each["calls"], each["unpriced"]) for each in saved] == [("acme", 3, 0)]
    assert [each["unpriced"] for each in said()["saved"]] == [0, 1]


def test_a_day_of_the_past_is_shown_when_it_is_named(used: None) -> None:
    yesterday = TODAY - timedelta(days=1)
    engine = open_engine(load_settings().sqlalchemy_url, connections=1, application="tests")
    with engine.begin() as connection:
        connection.execute(update(model_days).values(day=yesterday))
    engine.dispose()
    assert said()["use"] == []
    assert len(said("--day", yesterday.isoformat())["use"]) == 4


def test_without_redis_and_without_models_the_use_is_shown(
    environment: pytest.MonkeyPatch, used: None
) -> None:
    environment.setenv("FLEET_REDIS_URL", "redis://127.0.0.1:1/0")
    small = said()["models"][0]
    assert (small["lacks"], small["breaker"]) == (None, None)
    assert "not known: Redis is away" in fleetctl("models").stdout
    environment.delenv("FLEET_MODEL_SMALL")
    assert "FLEET_MODEL_SMALL is not set" in fleetctl("models").stdout
    assert said()["models"] == []
    assert len(said()["use"]) == 4


def test_old_prices_and_unknown_ones_are_told(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = PRICES.replace(str(TODAY), "2025-01-31").replace("[unknown]", "[models.other]")
    (tmp_path / "prices.toml").write_text(old)
    shown = fleetctl("models").stdout
    assert "as of 2025-01-31" in shown
    assert "They are old" in shown
    assert re.search(r"large-1 .*unknown", shown)
    assert "such a model is not asked" in shown
    assert said()["prices"] == {"as_of": "2025-01-31", "old": True}


def test_a_probe_asks_each_model_and_learns_what_it_lacks(environment: pytest.MonkeyPatch) -> None:
    call = {"function": {"name": "answer", "arguments": '{"text": "ready", "confidence": 1}'}}

    def answer(_path: str, body: Any) -> Told:
        if body["model"] == "large-1":
            return refused("There is no such model.", 404)
        if "tool_choice" in body:
            return refused("Unknown parameter: tool_choice")
        return told(completion(None, tool_calls=[call], usage=usage(1_000_000, 0)))

    with model_endpoint(answer) as endpoint:
        environment.setenv("OPENAI_BASE_URL", endpoint.url)
        environment.setenv("OPENAI_API_KEY", "k")
        environment.setenv("FLEET_MODEL_API", "chat")
        shown = fleetctl("models", "--probe").stdout
        found = said("--probe")
    assert re.search(r"small-1: answered after .* s, cost 0\.25 USD\.$", shown, re.MULTILINE)
    assert re.search(r"large-1: no answer\. .*FLEET_MODEL_", shown)
    assert [(each["model"], each["calls_tools"]) for each in found["probes"]] == [
        ("small-1", True),
        ("large-1", None),
    ]
    assert [set(each["lacks"]) for each in found["models"]] == [{"tool_choice"}, {"service"}]


@pytest.mark.parametrize(
    ("words", "fault"),
    [(("--tenant", "nobody"), "tenants list"), (("--day", "yesterday"), "2026-01-31")],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, str], fault: str) -> None:
    result = fleetctl("models", *words)
    assert isinstance(result.exception, FleetError), result.output
    assert fault in str(result.exception)
