"""Runs the web process on a loopback port inside the test process, on a store of its own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import httpx2
from fastapi import FastAPI
from sqlalchemy import Connection, Engine, func, select

from fleet_contracts.envelope import build_envelope
from fleet_contracts.outcome import Outcome, OutcomeKind, ReviewKind
from fleet_workers.agents import load_catalogue
from fleet_workers.desk_file import SignInSection
from fleet_workers.resilience.limits import RateLimits
from fleet_workers.store import claims, endings, reviews, tasks
from fleet_workers.store.accounts import add_key, add_tenant
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.engine import open_engine
from fleet_workers.store.journal import StepKind, StoredJournal, Usage
from fleet_workers.store.outbox import Letter
from fleet_workers.store.reviews import ReviewItem
from fleet_workers.store.tables import metadata
from fleet_workers.web import WebResources, create_app
from fleet_workers.web.resources import ConsoleSettings
from support.asgi_server import serving
from support.databases import empty_tables

_LEASE = timedelta(minutes=5)
HOLDER = Holder(worker="w1", presence=1, lease=_LEASE, silence=_LEASE)


@dataclass
class Site:
    """A running web process, its store, and what it has published."""

    url: str
    engine: Engine
    resources: WebResources
    app: FastAPI
    published: list[Letter] = field(default_factory=list)

    def key(self, role: str = "producer", tenant: str = "acme") -> str:
        with self.engine.begin() as connection:
            return add_key(connection, tenant=tenant, role=role, label=f"{tenant} {role}")

    def client(self, role: str = "producer", tenant: str = "acme") -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.key(role, tenant)}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=40)

    @contextmanager
    def browser(self, role: str = "operator", tenant: str = "*") -> Iterator[httpx2.Client]:
        """A client that has signed in at the console."""
        with httpx2.Client(base_url=self.url, follow_redirects=True, timeout=20) as client:
            client.post("/console/sign-in", data={"key": self.key(role, tenant)})
            yield client

    def count(self, table: str) -> int:
        query = select(func.count()).select_from(metadata.tables[table])
        with self.engine.begin() as connection:
            return connection.execute(query).scalar_one()

    def accepted(self, tenant: str, *, agent: str = "billing") -> UUID:
        """A task that nobody holds."""
        envelope = build_envelope(agent=agent, tenant=tenant, input="Where is my money?")
        with self.engine.begin() as connection:
            tasks.accept(connection, envelope, traceparent=None)
        return envelope.id

    def claimed(self, agent: str = "billing", tenant: str = "acme", **fields: object) -> Claim:
        """A task that a worker holds."""
        with self.engine.begin() as connection:
            return claimed_task(connection, agent=agent, tenant=tenant, **fields)

    def parked(
        self, reason: str, *, tenant: str = "acme", packet: dict[str, object] | None = None
    ) -> ReviewItem:
        """A task that waits for a person."""
        held = self.claimed(tenant=tenant)
        outcome = Outcome(
            kind=OutcomeKind.REVIEW, reason=reason, review_kind=ReviewKind.LOW_CONFIDENCE
        )
        with self.engine.begin() as connection:
            endings.leave(connection, held, endings.parked(outcome, "billing@v1-0"))
            return reviews.add(
                connection,
                task_id=held.task_id,
                tenant=tenant,
                agent="billing",
                kind=ReviewKind.LOW_CONFIDENCE,
                reason=reason,
                packet=packet or {"request": "Where is my money?"},
            )

    def journal(self, held: Claim, *, model: str = "gpt-small", said: str = "Paid.") -> None:
        """A run with a plan, a tool call and a refusal."""
        journal = StoredJournal(self.engine, held)
        journal.record(StepKind.INBOUND, "inbound", {"signals": []})
        plan = journal.begin(StepKind.PLAN, "billing", {"tier": "small", "messages": 2})
        calls = [{"id": "c1", "name": "find_invoice", "arguments": '{"invoice": "inv_7"}'}]
        reply = {"text": said, "calls": calls, "finish_reason": "tool_calls", "model": model}
        journal.finish(plan, reply, Usage(model=model, tokens=321))
        call = journal.begin(StepKind.TOOL, "find_invoice", {"arguments": {"invoice": "inv_7"}})
        journal.finish(call, {"value": {"status": said}})
        journal.record(StepKind.GATE, "approval", {"ruling": "refuse", "reason": said})
        journal.flush()


def csrf_of(client: httpx2.Client, page: str = "/console") -> str:
    """The token that the forms of a signed-in client's session carry, read from a page."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', client.get(page).text)
    assert found is not None, f"{page} has no form of a session"
    return found[1]


def send_form(client: httpx2.Client, path: str, **fields: str | list[str]) -> httpx2.Response:
    """Send a form as a page of the client's session would."""
    return client.post(path, data={"csrf": csrf_of(client), **fields})


def claimed_task(connection: Connection, *, agent: str, tenant: str, **fields: object) -> Claim:
    """Record a task and claim it."""
    given = {"input": "Where is my money?", **fields}
    envelope = build_envelope(agent=agent, tenant=tenant, **given)
    tasks.accept(connection, envelope, traceparent=None)
    held = claims.claim(connection, envelope.id, HOLDER)
    assert held is not None
    return held


@contextmanager
def running_site(
    database_url: str, *, console: ConsoleSettings | None = None, limits: RateLimits | None = None
) -> Iterator[Site]:
    """Serve on a free port until the block ends.

    Without `console` people may try to sign in as often as tests do.
    """
    engine = open_engine(database_url, connections=8, application="test web")
    published: list[Letter] = []
    resources = WebResources(
        engine=engine,
        catalogue=load_catalogue(),
        publish=published.extend,
        console=console or ConsoleSettings(sign_in=SignInSection(tries_a_minute=600)),
        limits=limits or RateLimits(None),
    )
    try:
        app = create_app(resources)
        with serving(app) as url:
            yield Site(url=url, engine=engine, resources=resources, app=app, published=published)
    finally:
        engine.dispose()


def empty_store(site: Site) -> None:
    """Begin again with two tenants and nothing else."""
    with site.engine.begin() as connection:
        empty_tables(connection)
        for tenant in ("acme", "globex"):
            add_tenant(connection, tenant)
    site.published.clear()
