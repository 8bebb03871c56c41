from pathlib import Path

from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.processes import Stage
from fleet_workers.embedded.stack import Stack


def stack(tmp_path: Path, **environment: str) -> Stack:
    return Stack(
        FleetFolder(tmp_path),
        environment=environment,
        agents=("billing", "retail"),
        stop_grace_seconds=30,
    )


def test_without_settings_everything_is_our_own(tmp_path: Path) -> None:
    own = stack(tmp_path)
    assert own.postgres
    assert own.valkey
    specs = [*own.service_specs(business_database=tmp_path / "b.sqlite"), *own.fleet_specs()]
    assert [spec.name for spec in specs] == [
        *("business", "offline_model", "web", "flower", "janitor", "pool_billing", "pool_retail"),
    ]
    assert {spec.env["OPENAI_BASE_URL"] for spec in specs} == {
        f"{own.addresses.offline_model_url}/v1"
    }


def test_a_users_servers_and_model_are_used_and_not_started(tmp_path: Path) -> None:
    own = stack(
        tmp_path,
        FLEET_STORE_URL="postgresql://db/fleet",
        FLEET_BROKER_URL="amqp://mq",
        FLEET_REDIS_URL="redis://r/1",
        FLEET_BUSINESS_URL="http://crm",
        OPENAI_API_KEY="sk-1",
    )
    assert (own.postgres, own.valkey, own.addresses.offline_model_url) == (None, None, None)
    assert own.service_specs(business_database=tmp_path / "b.sqlite") == []
    environment = dict(own.fleet_specs()[0].env)
    assert environment["FLEET_STORE_URL"] == "postgresql://db/fleet"
    assert environment["FLEET_BROKER_URL"] == "amqp://mq"
    assert environment["FLEET_BUSINESS_URL"] == "http://crm"
    assert environment["OPENAI_API_KEY"] == "sk-1"
    assert "OPENAI_BASE_URL" not in environment
    assert "FLEET_MODEL_SMALL" not in environment


def test_an_own_broker_leaves_valkey_for_the_sessions(tmp_path: Path) -> None:
    own = stack(tmp_path, FLEET_BROKER_URL="amqp://mq")
    assert own.valkey
    assert own.addresses.broker_url == "amqp://mq"
    assert own.addresses.redis_url.endswith("/1")


def test_a_setting_that_is_empty_counts_as_not_set(tmp_path: Path) -> None:
    own = stack(tmp_path, FLEET_STORE_URL="", OPENAI_API_KEY="")
    assert own.postgres
    assert own.addresses.offline_model_url


def test_workers_have_their_grace_and_no_secret_stands_in_a_command_line(tmp_path: Path) -> None:
    own = stack(tmp_path)
    specs = own.fleet_specs()
    assert {spec.grace_seconds for spec in specs if spec.stage is Stage.WORKERS} == {35.0}
    words = " ".join(word for spec in specs for word in spec.argv)
    for name in ("postgres", "valkey", "flower"):
        assert (tmp_path / f"{name}.secret").read_text() not in words


def test_loopback_is_reached_without_the_users_proxy(tmp_path: Path) -> None:
    environment = stack(tmp_path, NO_PROXY="intern").fleet_specs()[0].env
    assert environment["NO_PROXY"] == "intern,127.0.0.1,localhost"
    assert environment["no_proxy"] == "127.0.0.1,localhost"


def test_a_pool_may_have_several_processes_each_with_files_of_its_own(tmp_path: Path) -> None:
    own = stack(tmp_path)
    specs = own.fleet_specs(pools={"billing": 2})
    pools = [spec for spec in specs if spec.name.startswith("pool_")]
    assert [spec.name for spec in pools] == ["pool_billing", "pool_billing.2", "pool_retail"]
    assert pools[0].argv == pools[1].argv
    assert len({spec.env["FLEET_READY_FILE"] for spec in pools}) == 3
    assert [spec.is_spare for spec in pools] == [False, False, False]
    assert own.pool_spec("retail", 2, is_spare=True).is_spare
