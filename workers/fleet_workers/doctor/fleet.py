"""Checks of the fleet's own state: agents, pools, janitors, and what has been left lying."""

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection, text

from fleet_contracts.envelope import AUTO_AGENT
from fleet_contracts.errors import FleetError
from fleet_workers.agents import AgentCatalogue, load_catalogue
from fleet_workers.doctor.finding import Check, Finding, failed, ok, warning
from fleet_workers.doctor.store import opened
from fleet_workers.settings import Settings
from fleet_workers.store import dead_letters, pools

_STUCK_SECONDS = 60

_OUTBOX = text("""
SELECT count(*) AS letters, max(last_error) AS error FROM outbox
WHERE created_at < now() - make_interval(secs => :seconds)
""")
_OVERDUE = text("SELECT count(*) FROM reviews WHERE state = 'waiting' AND due_at < now()")


def fleet_checks(settings: Settings) -> list[Check]:
    """The checks of the agents' folders, and of what the store tells about processes."""
    return [
        Check(group="fleet", name="agents", look=lambda: _agents(settings)),
        Check(
            group="fleet",
            name="processes",
            look=lambda: _processes(settings),
            remedy="The store must be well first.",
        ),
    ]


def installed_agents(settings: Settings) -> tuple[str, ...]:
    """Agents that have queues, triage included; those bundled only, where a folder is wrong."""
    try:
        names = load_catalogue(settings.agents_path).names
    except FleetError:
        names = load_catalogue().names
    return (*names, AUTO_AGENT)


def _agents(settings: Settings) -> Iterator[Finding]:
    catalogue = load_catalogue(settings.agents_path)
    yield ok(f"{len(catalogue.names)} agents are installed: {', '.join(catalogue.names)}.")


def _processes(settings: Settings) -> Iterator[Finding]:
    with opened(settings) as connection:
        for name, findings in (
            ("pools", _pools(connection, _catalogue(settings))),
            ("janitor", _janitor(connection)),
            ("outbox", _outbox(connection)),
            ("reviews", _reviews(connection)),
            ("dead letters", _dead_letters(connection)),
        ):
            for finding in findings:
                yield replace(finding, name=name)


def _catalogue(settings: Settings) -> AgentCatalogue | None:
    try:
        return load_catalogue(settings.agents_path)
    except FleetError:
        return None  # said by the check of the agents


def _pools(connection: Connection, catalogue: AgentCatalogue | None) -> Iterator[Finding]:
    alive = [each for each in pools.workers_alive(connection) if each.slots is not None]
    served = {agent for worker in alive for agent in worker.agents}
    is_whole = all(worker.is_whole for worker in alive)
    loads = pools.load_by_agent(connection, tenant=None)
    for agent, load in sorted(loads.items()):
        open_tasks = load.queued + load.running + load.retrying
        if catalogue is not None and agent != AUTO_AGENT and agent not in catalogue:
            yield failed(
                f"{open_tasks} open tasks are for {agent}, which is not installed here.",
                "Put its folder on FLEET_AGENTS_PATH of its pool, or cancel them.",
            )
        elif open_tasks and agent not in served and is_whole:
            yield failed(
                f"{open_tasks} open tasks wait for {agent}, and no pool serves it.",
                f"Start one: fleetctl worker {agent}.",
            )
    if not alive:
        yield warning("No pool is running.", "Start them: fleetctl worker NAME auto.")
    elif AUTO_AGENT not in served and is_whole:
        yield warning(
            "No pool takes requests that name no agent.",
            "Let at least one take auto: fleetctl worker NAME auto.",
        )
    else:
        slots = sum(worker.slots or 0 for worker in alive)
        yield ok(
            f"{len(alive)} pool processes with {slots} slots serve {', '.join(sorted(served))}."
        )


def _janitor(connection: Connection) -> Iterator[Finding]:
    if pools.janitors_alive(connection):
        yield ok("A janitor is at work.")
    else:
        yield failed(
            "No janitor is running: retries do not come due, and a dead worker's tasks stay.",
            "Start one, or two: fleetctl janitor.",
        )


def _outbox(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(_OUTBOX, {"seconds": _STUCK_SECONDS}).one()
    if row.letters:
        yield failed(
            f"{row.letters} messages have waited for the broker for more than "
            f"{_STUCK_SECONDS} s: {row.error or 'nobody has tried to send them'}.",
            "Mend the broker, and see that a janitor runs: it sends them by itself.",
        )
    else:
        yield ok("Every message has reached the broker.")


def _reviews(connection: Connection) -> Iterator[Finding]:
    if overdue := connection.execute(_OVERDUE).scalar_one():
        yield warning(
            f"{overdue} reviews are overdue.",
            "Decide them in the console, or with `fleetctl reviews list`.",
        )
    else:
        yield ok("No review is overdue.")


def _dead_letters(connection: Connection) -> Iterator[Finding]:
    if number := dead_letters.count_unsettled(connection):
        yield warning(
            f"{number} dead letters are neither replayed nor discarded.",
            "See why with `fleetctl dead list`, then replay or discard them.",
        )
    else:
        yield ok("No dead letter is open.")
