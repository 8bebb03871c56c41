"""How large the journal of a long conversation is, and whether it grows with its square."""

import csv
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from bench.figures import Figure, Remark, Said
from bench.fleet_run import AGENTS, TESTS
from fleet_contracts.envelope import TaskEnvelope, build_envelope
from fleet_workers.agents import AgentCatalogue, load_release
from fleet_workers.controller.decision import Finish
from fleet_workers.controller.loop import run_loop
from fleet_workers.controller.ports import Ports
from fleet_workers.store import claims
from fleet_workers.store.claims import Claim, Holder
from fleet_workers.store.endings import succeeded
from fleet_workers.store.journal import StoredJournal
from fleet_workers.testing import ScriptedModel, answer
from fleet_workers.testing.replies import Says
from fleet_workers.testing.tools import FakeTools
from support.stacks import open_stack

_TEXTS = TESTS.parents[1] / "shared/data/intent/bitext_support.csv"
_CALLS = 100
_CHARACTERS = 836_000
_SAID_SHARE = 8  # of each round, the model says an eighth; the tool gives the rest
_AGENT = "reader"


def measure() -> Iterator[Said]:
    """Run the real loop over the stored journal; only the model and the tool are stand-ins."""
    if not _TEXTS.is_file():
        yield Remark(text=f"size: skipped, for {_TEXTS.name} is missing in ../shared/data/intent")
        return
    said, read = _rounds(_TEXTS)
    with open_stack("rabbitmq") as stack:
        empty = _disk_bytes(stack.engine)
        values: list[int] = []

        def read_page(number: int) -> str:
            if number == _CALLS // 2:
                values.append(_value_bytes(stack.engine))
            return read[number]

        _converse(stack.engine, said, read_page)
        values.append(_value_bytes(stack.engine))
        disk = _disk_bytes(stack.engine) - empty
        steps = _count_steps(stack.engine)
    half, whole = values
    text_bytes = sum(len(each.encode()) for each in said + read)
    yield Figure(name="size.text", value=text_bytes / 1000, unit="KB")
    yield Figure(name="size.steps", value=steps, unit="steps")
    yield Figure(name="size.journal", value=disk / 1e6, unit="MB")
    yield Figure(name="size.values", value=whole / 1e6, unit="MB")
    growth = (whole - half) / half
    yield Figure(name="size.growth", value=growth, unit="calls 51-100/calls 1-50")


def _converse(engine: Engine, said: list[str], read_page: object) -> None:
    release = load_release(AGENTS / _AGENT)
    envelope = build_envelope(tenant="acme", agent=_AGENT, input="Read all pages.")
    claim = _claimed(engine, envelope)
    journal = StoredJournal(engine, claim)
    script = [
        Says(text=words, calls=(("read_page", f'{{"number": {number}}}'),))
        for number, words in enumerate(said[:-1])
    ]
    decision = run_loop(
        agent=_AGENT,
        envelope=envelope,
        catalogue=AgentCatalogue([release]),
        journal=journal,
        ports=Ports(
            model=ScriptedModel([*script, answer(said[-1])]),
            tools=FakeTools({"read_page": read_page}),
            recall=lambda _envelope: [],
            model_timeout_seconds=60.0,
        ),
    )
    if not isinstance(decision, Finish):
        raise TypeError(f"The conversation ended in {decision!r}.")
    journal.leave(succeeded(decision.outcome, release.id))


def _claimed(engine: Engine, envelope: TaskEnvelope) -> Claim:
    lease = timedelta(minutes=5)
    holder = Holder(worker="bench", presence=1, lease=lease, silence=lease)
    with engine.begin() as connection:
        claim = claims.take_new(connection, envelope, holder, traceparent=None)
    if claim is None:
        raise ValueError(f"Task {envelope.id} cannot be claimed.")
    return claim


def _rounds(path: Path) -> tuple[list[str], list[str]]:
    """What the model says and what the tool gives, round by round; no text comes twice."""
    with path.open(encoding="utf-8", newline="") as file:
        words = "\n".join(row["response"] for row in csv.DictReader(file))
    size = _CHARACTERS // _CALLS
    rounds = [words[begin : begin + size] for begin in range(0, size * _CALLS, size)]
    cut = size // _SAID_SHARE
    return [each[:cut] for each in rounds], [each[cut:] for each in rounds]


def _disk_bytes(engine: Engine) -> int:
    """Disk space of the journal's tables with their indexes and long values, after a VACUUM."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM steps, texts"))
        return int(
            connection.execute(
                text("SELECT pg_total_relation_size('steps') + pg_total_relation_size('texts')")
            ).scalar_one()
        )


def _value_bytes(engine: Engine) -> int:
    """What the rows take as they are stored, compressed: no free space, no indexes."""
    query = text("""
        SELECT (SELECT COALESCE(sum(pg_column_size(steps.request))
                    + sum(pg_column_size(steps.result)), 0) FROM steps)
            + (SELECT COALESCE(sum(pg_column_size(texts.body)), 0) FROM texts)
    """)
    with engine.begin() as connection:
        return int(connection.execute(query).scalar_one())


def _count_steps(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM steps")).scalar_one())
