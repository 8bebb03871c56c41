"""What the audit trail costs: a journal's steps with and without it, sealing, and verifying."""

import time
from collections.abc import Iterator
from datetime import timedelta
from statistics import median
from unittest.mock import patch

from sqlalchemy import Engine, text

from bench.figures import Figure, Said
from fleet_contracts.envelope import build_envelope
from fleet_workers.store import audit_chain, audit_steps, claims
from fleet_workers.store.audit_verify import verify
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.engine import open_engine
from fleet_workers.store.journal import StepKind, StoredJournal
from support.databases import temporary_database

_PAIRS = 400  # tasks each way, by turns: what disturbs the machine disturbs both
_WRITES = 3  # a task; each is a gate's verdict, a begin and an end: three entries
_ENTRIES = 100_000
_BATCH = 2000  # as the janitor seals
_LEASE = timedelta(minutes=5)
_HOLDER = Holder(worker="bench", presence=1, lease=_LEASE, silence=_LEASE)
_FILL = text("""
INSERT INTO audit_inbox (kind, who, what, why, tenant, task_id, trace, detail)
SELECT 'effect', 'agent:bench', 'refund begun', '', 'acme', gen_random_uuid(),
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', jsonb_build_object(
        'step', n % 20, 'plan', 1, 'call', 0, 'key', 'task:1:0',
        'arguments_sha256', encode(sha256(CAST(CAST(n AS text) AS bytea)), 'hex'))
FROM generate_series(1, :number) AS n
""")


def measure() -> Iterator[Said]:
    """Pairs of tasks on one store, then a full inbox put into the chain and checked."""
    with temporary_database() as url:
        # Commits wait for no disk here: what is compared is work, not the disk's moods.
        engine = open_engine(url, connections=2, application="bench audit", ping=False)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO tenants VALUES ('acme')"))
            name = engine.url.database
            connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
        engine.dispose()
        try:
            yield from _steps(engine)
            yield from _chain(engine)
        finally:
            engine.dispose()


def _steps(engine: Engine) -> Iterator[Figure]:
    seconds: dict[bool, list[float]] = {True: [], False: []}
    processor: dict[bool, float] = {True: 0.0, False: 0.0}
    for number in range(2 * _PAIRS):
        audited = number % 2 == 0
        claim = _claimed(engine)
        used = time.thread_time()
        if audited:
            spent = _write_steps(engine, claim)
        else:
            with patch.object(audit_steps, "parameters_of", return_value={}):
                spent = _write_steps(engine, claim)
        seconds[audited].append(spent)
        processor[audited] += time.thread_time() - used
    for audited, name in ((False, "without"), (True, "with")):
        step = median(seconds[audited]) / _WRITES * 1000
        used_ms = processor[audited] / _PAIRS / _WRITES * 1000
        yield Figure(name=f"audit.write_call_{name}", value=step, unit="ms")
        yield Figure(name=f"audit.write_call_processor_{name}", value=used_ms, unit="ms")


def _write_steps(engine: Engine, claim: Claim) -> float:
    begun = time.perf_counter()
    journal = StoredJournal(engine, claim)
    for number in range(_WRITES):
        journal.record(StepKind.GATE, "approval", {"ruling": "pass", "reason": "Under the limit."})
        request = {
            "plan": number,
            "call": 0,
            "arguments": {"payment_id": "pay_7", "amount_usd": "40.00", "reason": "Charged twice."},
            "effect": "write",
            "key": f"{claim.task_id}:{number}:0",
        }
        seq = journal.begin(StepKind.TOOL, "refund_payment", request)
        journal.finish(seq, {"value": {"refund": "re_1", "status": "done"}})
    return time.perf_counter() - begun


def _claimed(engine: Engine) -> Claim:
    envelope = build_envelope(tenant="acme", agent="bench", input="Where is ord_7?")
    claim = claims.take_new(engine, envelope, _HOLDER, traceparent=None)
    if claim is None:
        raise ValueError(f"Task {envelope.id} cannot be claimed.")
    return claim


def _chain(engine: Engine) -> Iterator[Figure]:
    with engine.begin() as connection:
        connection.execute(_FILL, {"number": _ENTRIES})
    sealed, begun = 0, time.perf_counter()
    while True:
        with engine.begin() as connection:
            done = audit_chain.seal(connection, limit=_BATCH)
        sealed += done
        if not done:
            break
    rate = sealed / (time.perf_counter() - begun)
    yield Figure(name="audit.sealing", value=rate, unit="entries/s")
    begun = time.perf_counter()
    with engine.connect() as connection:
        found = verify(connection)
    if not found.is_whole or found.entries != sealed:
        raise ValueError(f"The chain is not whole: {found}")
    yield Figure(
        name="audit.verify", value=sealed / (time.perf_counter() - begun), unit="entries/s"
    )
