"""`fleetctl up`: starts a fleet on this machine, works through an inbox, and stays up."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from fleet_contracts.errors import FleetError
from fleet_workers.agents import load_catalogue
from fleet_workers.embedded.autoscaler import autoscaling
from fleet_workers.embedded.folder import FleetFolder
from fleet_workers.embedded.inbox import BUNDLED_INBOX, InboxRequest, read_inbox
from fleet_workers.embedded.inbox_report import all_settled, print_sums, print_table, run_line
from fleet_workers.embedded.inbox_run import InboxResult, InboxRun, open_client
from fleet_workers.embedded.interruption import orderly_end
from fleet_workers.embedded.run_access import DEFAULT_TENANT, RunAccess, grant_access
from fleet_workers.embedded.scaling import Bounds, read_bounds
from fleet_workers.embedded.stack import FLOWER_USER, Stack
from fleet_workers.embedded.supervisor import StopRequested, Supervisor
from fleet_workers.embedded.terminal import open_console, progress
from fleet_workers.settings import Settings, load_settings
from fleet_workers.store import migrate
from fleet_workers.store.engine import store_errors

DEFAULT_FOLDER: Final = Path(".fleet")
_EXIT_FAILED: Final = 1
_EXIT_INTERRUPTED: Final = 130

GrantAccess = Callable[[str, Iterable[str]], RunAccess]
"""Makes tenants and keys in the store at a SQLAlchemy URL: the seam to the web's accounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What a run is asked for. `inbox` None stands for the bundled one.

    `scale` holds bounds of pools, as `read_bounds` takes them, which go before the settings'.
    """

    once: bool = False
    inbox: Path | None = None
    folder: Path = DEFAULT_FOLDER
    scale: tuple[str, ...] = ()


def run_fleet(options: UpOptions, *, grant: GrantAccess = grant_access) -> int:
    """Start the fleet, work through the inbox, and give the exit code once all has ended.

    0 where every request settled, 1 where something did not or the fleet could not start, 130
    where it was interrupted before the inbox was done.
    """
    console = open_console()
    stop_requested = Event()
    try:
        requests = read_inbox(options.inbox or BUNDLED_INBOX)
        settings = load_settings()
        catalogue = load_catalogue(settings.agents_path)
        bounds = read_bounds((*settings.scale, *options.scale), catalogue.names)
        folder = FleetFolder(options.folder)
        supervisor = Supervisor(
            folder, report=lambda line: _say(console, line), stop_requested=stop_requested
        )
        with orderly_end(stop_requested, supervisor.kill), supervisor:
            stack = Stack(
                folder,
                environment=os.environ,
                agents=catalogue.names,
                stop_grace_seconds=settings.stop_grace.total_seconds(),
            )
            run = _Run(console, folder, supervisor, stack, options, bounds)
            results = run.work(requests, settings, grant)
            if supervisor.failure:
                raise supervisor.failure
            _say(console, "stopping: workers first, servers last")
    except (StopRequested, KeyboardInterrupt) as stopped:
        _say(console, str(stopped) or "Stopped before anything was started.")
        return _EXIT_INTERRUPTED
    except FleetError as error:
        console.print(Text(f"error: {error}", style="red"))
        return _EXIT_FAILED
    if options.once:
        _say(console, run_line(results))
    return 0 if all_settled(results) else _EXIT_FAILED


@dataclass(frozen=True, slots=True)
class _Run:
    """One run's parts, handed from step to step."""

    console: Console
    folder: FleetFolder
    supervisor: Supervisor
    stack: Stack
    options: UpOptions
    bounds: Mapping[str, Bounds]

    def work(
        self, requests: list[InboxRequest], settings: Settings, grant: GrantAccess
    ) -> list[InboxResult]:
        access = self._start(requests, settings, grant)
        if self.stack.addresses.offline_model_url:
            _print_banner(self.console)
        with autoscaling(
            self.bounds,
            self._reached(settings),
            processes=self.supervisor,
            specs=self.stack,
            report=lambda line: _say(self.console, line),
        ):
            return self._stay(requests, access)

    def _stay(self, requests: list[InboxRequest], access: RunAccess) -> list[InboxResult]:
        """Work through the inbox, then be there until somebody ends it."""
        results = self._work_inbox(requests, access)
        print_table(self.console, results)
        print_sums(self.console, results)
        if not self.options.once:
            self._print_addresses(access)
            _say(self.console, run_line(results))
            self.supervisor.stop_requested.wait()
        return results

    def _reached(self, settings: Settings) -> Settings:
        """The settings with the addresses of this fleet."""
        where = self.stack.addresses
        known = {"store_url": where.store_url, "broker_url": where.broker_url}
        return settings.model_copy(update=known)

    def _start(
        self, requests: list[InboxRequest], settings: Settings, grant: GrantAccess
    ) -> RunAccess:
        supervisor, stack = self.supervisor, self.stack
        supervisor.start(*stack.server_specs())
        store = self._reached(settings)
        with store_errors():
            if stack.postgres:
                migrate.create_database(store.sqlalchemy_url)
            migrate.upgrade(store.sqlalchemy_url)
        access = grant(store.sqlalchemy_url, {request.envelope.tenant for request in requests})
        services = stack.service_specs(business_database=self._business_database())
        least = {agent: each.least for agent, each in self.bounds.items()}
        supervisor.start(*services, *stack.fleet_specs(pools=least))
        supervisor.watch()
        self._write_client_settings(access)
        return access

    def _business_database(self) -> Path:
        """The sandbox's records: as seeded for the labelled inbox, kept for a user's own."""
        database = self.folder.path / "business.sqlite"
        if self.options.inbox is None:
            for path in self.folder.path.glob(f"{database.name}*"):
                path.unlink()
        return database

    def _write_client_settings(self, access: RunAccess) -> None:
        where = self.stack.addresses
        self.folder.remember(
            "client",
            {
                "api_url": where.api_url,
                "api_key": access.client_key,
                "broker_url": where.broker_url,
                "tenant": DEFAULT_TENANT,
            },
        )

        self.folder.remember("operator", self.stack.operator_environment())

    def _work_inbox(self, requests: list[InboxRequest], access: RunAccess) -> list[InboxResult]:
        with (
            open_client(self.stack.addresses.api_url, access.fleet_key) as client,
            progress(self.console, len(requests)) as tell,
        ):
            stop = self.supervisor.stop_requested
            run = InboxRun(client, requests, stop_requested=stop, on_progress=tell)
            try:
                return run.work()
            except StopRequested as stopped:
                raise self.supervisor.failure or stopped from None

    def _print_addresses(self, access: RunAccess) -> None:
        where = self.stack.addresses
        for line in (
            "",
            "The fleet stays up until Ctrl-C.",
            "console, signed in (works once, for 15 minutes):",
            f"  {where.api_url}{access.console_path}",
            f"API       {where.api_url}/openapi.json",
            f"Flower    {where.flower_url}  ({FLOWER_USER} / {where.flower_password})",
            f"logs      {self.folder.logs}",
            'submit    .venv/bin/fleet submit --wait "Where is my last invoice?"',
            "",
        ):
            self.console.print(Text(line), soft_wrap=True)


def _say(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _print_banner(console: Console) -> None:
    console.print(
        Panel(
            "No model endpoint is set, so the built-in offline model serves: it ranks tools by "
            "words and fills in arguments. Its answers show the fleet at work and say nothing of "
            "the quality that a real model gives. Set OPENAI_BASE_URL and OPENAI_API_KEY for one.",
            title="offline model",
        )
    )
