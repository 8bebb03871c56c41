"""The processes of a fleet on one machine, and the addresses at which they find one another."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fleet_contracts.envelope import AUTO_AGENT
from fleet_workers.embedded.autoscaler import pool_process
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.ports import LOOPBACK, PortBook
from fleet_workers.embedded.processes import ProcessSpec, Stage
from fleet_workers.embedded.readiness import Probe, file_probe, http_probe
from fleet_workers.embedded.servers import PostgresServer, ValkeyServer

DATABASE: Final = "fleet"
FLOWER_USER: Final = "fleet"
TRIAGE_POOLS: Final = ("billing", "onboarding", "technical_support")
"""Bundled agents whose pools also take the requests that name no agent."""
_BROKER_DATABASE, _REDIS_DATABASE = 0, 1
_MODEL_TIERS: Final = ("small", "medium", "large")
_OWN_STOP_SECONDS: Final = 5.0
"""What a worker needs beyond the grace of its tasks to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the parts of a fleet are. `offline_model_url` is None where a real model serves."""

    api_url: str
    flower_url: str
    flower_password: str = field(repr=False)
    store_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    business_url: str
    offline_model_url: str | None


class Stack:
    """What to run in a folder, given the user's environment.

    A server whose FLEET_…_URL the user set is the user's: it is used, not started. The same goes
    for the model, where OPENAI_BASE_URL or OPENAI_API_KEY is set.
    """

    def __init__(
        self,
        folder: FleetFolder,
        *,
        environment: Mapping[str, str],
        agents: Iterable[str],
        stop_grace_seconds: float,
    ) -> None:
        self._folder = folder
        self._given = {name: value for name, value in environment.items() if value}
        self._agents = tuple(agents)
        self._grace_seconds = stop_grace_seconds + _OWN_STOP_SECONDS
        self._ports = PortBook(folder)
        self._metrics = folder.path / "metrics"
        self.postgres: PostgresServer | None = None
        self.valkey: ValkeyServer | None = None
        if "FLEET_STORE_URL" not in self._given:
            self.postgres = PostgresServer(folder, port=self._ports.port("postgres"))
        if not {"FLEET_BROKER_URL", "FLEET_REDIS_URL"} <= self._given.keys():
            self.valkey = ValkeyServer(folder, port=self._ports.port("valkey"))
        self.addresses = self._addresses()
        self._environment = self._child_environment()

    def server_specs(self) -> list[ProcessSpec]:
        """PostgreSQL and Valkey, prepared, as far as they are ours.

        Raises:
            ConfigurationError: One of them does not exist for this platform or cannot run here.
        """
        specs = []
        for server in (self.postgres, self.valkey):
            if server is not None:
                server.prepare()
                specs.append(server.spec())
        return specs

    def service_specs(self, *, business_database: Path) -> list[ProcessSpec]:
        """The sandbox business and the offline model, as far as they are needed."""
        specs = []
        if "FLEET_BUSINESS_URL" not in self._given:
            port = str(self._ports.port("business"))
            words = ("fleet_workers.embedded.business", "--port", port)
            url = f"{self.addresses.business_url}/healthz"
            database = ("--database", str(business_database))
            specs.append(self._python("business", Stage.SERVICES, (*words, *database), url))
        if self.addresses.offline_model_url:
            words = (
                "fleet_workers.embedded.offline_model",
                "--port",
                str(self._ports.port("model")),
            )
            url = f"{self.addresses.offline_model_url}/healthz"
            specs.append(self._python("offline_model", Stage.SERVICES, words, url))
        return specs

    def fleet_specs(self, *, pools: Mapping[str, int] | None = None) -> list[ProcessSpec]:
        """Web process, Flower, janitor, and each agent's pool: one process, or as `pools` says."""
        for stale in self._metrics.glob("*.json"):  # of pools that this start may not have
            stale.unlink(missing_ok=True)
        cli = "fleet_workers.cli"
        web = (cli, "web", "--host", LOOPBACK, "--port", str(self._ports.port("web")))
        flower = (cli, "flower", "--host", LOOPBACK, "--port", str(self._ports.port("flower")))
        return [
            self._python("web", Stage.FRONT, web, f"{self.addresses.api_url}/readyz"),
            self._python("flower", Stage.FRONT, flower, f"{self.addresses.flower_url}/healthcheck"),
            self._python("janitor", Stage.WORKERS, (cli, "janitor")),
            *(
                self.pool_spec(agent, number)
                for agent in self._agents
                for number in range(1, (pools or {}).get(agent, 1) + 1)
            ),
        ]

    def pool_spec(self, agent: str, number: int, *, is_spare: bool = False) -> ProcessSpec:
        """One process of an agent's pool, which may have several."""
        words = ("fleet_workers.cli", "worker", *self.queues(agent))
        spec = self._python(pool_process(agent, number), Stage.WORKERS, words)
        return replace(spec, is_spare=is_spare)

    def queues(self, agent: str) -> tuple[str, ...]:
        """What the processes of an agent's pool take tasks from."""
        return (agent, AUTO_AGENT) if agent in TRIAGE_POOLS else (agent,)

    def operator_environment(self) -> dict[str, str]:
        """What an operator's command needs to reach this fleet; never a key of the user's own."""
        shown = ["FLEET_STORE_URL", "FLEET_BROKER_URL", "FLEET_REDIS_URL", "FLEET_AGENTS_PATH"]
        shown += ["FLEET_BUSINESS_URL"]
        if self.addresses.offline_model_url:
            shown += ["OPENAI_BASE_URL", "OPENAI_API_KEY"]
            shown += [f"FLEET_MODEL_{tier.upper()}" for tier in _MODEL_TIERS]
        return {name: self._environment[name] for name in shown if name in self._environment}

    def _python(
        self, name: str, stage: Stage, words: tuple[str, ...], health_url: str | None = None
    ) -> ProcessSpec:
        """A Python module as a process; without a health address it makes FLEET_READY_FILE."""
        ready = self._folder.ready / name
        probe: Probe = http_probe(health_url) if health_url else file_probe(ready)
        return ProcessSpec(
            name=name,
            # -P: a file called celery.py in the user's folder must not stand in for the real one.
            argv=(sys.executable, "-P", "-m", *words),
            env={**self._environment, "FLEET_READY_FILE": str(ready)},
            probe=probe,
            stage=stage,
            grace_seconds=self._grace_seconds if stage is Stage.WORKERS else 10.0,
            removed_first=(ready, self._metrics / f"{name}.json"),
        )

    def _addresses(self) -> Addresses:
        given, valkey = self._given, self.valkey
        offline = not {"OPENAI_BASE_URL", "OPENAI_API_KEY"} & given.keys()
        return Addresses(
            api_url=self._local_url("web"),
            flower_url=self._local_url("flower"),
            flower_password=self._folder.secret("flower"),
            store_url=given.get("FLEET_STORE_URL")
            or (self.postgres.url(DATABASE) if self.postgres else ""),
            broker_url=given.get("FLEET_BROKER_URL")
            or (valkey.url(_BROKER_DATABASE) if valkey else ""),
            redis_url=given.get("FLEET_REDIS_URL")
            or (valkey.url(_REDIS_DATABASE) if valkey else ""),
            business_url=given.get("FLEET_BUSINESS_URL") or self._local_url("business"),
            offline_model_url=self._local_url("model") if offline else None,
        )

    def _local_url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self._ports.port(name)}"

    def _child_environment(self) -> dict[str, str]:
        where = self.addresses
        environment = {
            **self._given,
            "FLEET_STORE_URL": where.store_url,
            "FLEET_BROKER_URL": where.broker_url,
            "FLEET_REDIS_URL": where.redis_url,
            "FLEET_BUSINESS_URL": where.business_url,
            # In the environment, because every user can read the command line of a process.
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{where.flower_password}",
            "PYTHONUNBUFFERED": "1",
            "FLEET_METRICS_TARGETS": str(self._metrics),
            "FLEET_METRICS_PORT": "0",  # one port for all of them would serve the first alone
        }
        for name in ("NO_PROXY", "no_proxy"):  # a company's proxy cannot reach our loopback
            known = self._given.get(name)
            environment[name] = ",".join([*([known] if known else []), LOOPBACK, "localhost"])
        if where.offline_model_url:
            environment["OPENAI_BASE_URL"] = f"{where.offline_model_url}/v1"
            environment["OPENAI_API_KEY"] = "offline"
            for tier in _MODEL_TIERS:
                environment[f"FLEET_MODEL_{tier.upper()}"] = f"offline-{tier}"
        return environment
