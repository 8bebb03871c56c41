"""What it costs that 10,000 approvals wait for people, and how fast 100 tasks go on at once."""

import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx2
import psutil
from sqlalchemy import func, select, text

from bench.drain import reach
from bench.figures import Figure, Remark, Said, percentile, spread
from bench.fleet_run import TEXT, BenchFleet, bench_fleet, submit_many
from bench.instant_model import HOLD_ON, PAY_OUT
from bench.parked_copies import add_parked_copies, tidy_up
from bench.processor import Disturbed
from fleet_contracts.outcome import ReviewKind
from fleet_contracts.topology import REVIEW_QUEUE
from fleet_workers.store import review_queue
from fleet_workers.store.review_queue import QueueFilter
from fleet_workers.store.tables import reviews, tasks
from support.stacks import Stack, open_stack

_AGENT = "payer"
_SLOTS = 100
_PARKED = int(os.environ.get("PARKED", "10000"))
_WARM_UP = 2000
_BATCH = 500  # with the same words in each: what workers remember of words stays the same
_FILL_SECONDS = 180.0  # what is not parked by then is copied
_PAGES = 200
_AT_ONCE = 100
_FRESH = 30
_MEGABYTE = 1024 * 1024


def measure() -> Iterator[Said]:
    """Park, look at what holds anything, open the inbox, and let 100 go on."""
    with tempfile.TemporaryDirectory() as folder, open_stack("rabbitmq") as stack:
        payments = Path(folder) / "payments"
        with bench_fleet(
            stack,
            slots=_SLOTS,
            janitor=True,
            web=True,
            agent=_AGENT,
            environment={"BENCH_PAYMENTS": str(payments)},
        ) as running:
            yield from _measure(running, payments)


def _measure(running: BenchFleet, payments: Path) -> Iterator[Said]:
    _warm_up(running)
    yield from _state(running, "before")
    yield from _park(running)
    yield from _state(running, "after")
    yield from _queues(running.stack)
    yield from _inbox(running)
    yield from _resume(running, payments)


def _warm_up(running: BenchFleet) -> None:
    """What a worker loads at its first tasks shall not count as the price of those that wait."""
    submit_many(running.fleet, _WARM_UP, agent=_AGENT, text=f"{TEXT} ")
    reach(lambda: running.succeeded() == _WARM_UP)
    submit_many(running.fleet, _BATCH, agent=_AGENT, text=PAY_OUT)
    _reach_waiting(running.stack, _BATCH)


def _state(running: BenchFleet, name: str) -> Iterator[Figure]:
    """Memory, slots that can be had at once, and how soon a new task is over."""
    fresh = _fresh_seconds(running)
    at_work = _most_at_work(running)
    yield Figure(name=f"parked.{name}.waiting", value=_waiting(running.stack), unit="approvals")
    yield Figure(name=f"parked.{name}.worker_memory", value=_memory(running), unit="MB")
    yield Figure(name=f"parked.{name}.slots_at_work_at_once", value=at_work, unit="slots")
    yield from spread(f"parked.{name}.new_task", fresh, 0.5)


def _memory(running: BenchFleet) -> float:
    return sum(psutil.Process(each).memory_info().rss for each in running.pids) / _MEGABYTE


def _fresh_seconds(running: BenchFleet) -> list[float]:
    """From just before a task is handed in until it has succeeded, one after another."""
    seconds = []
    with running.fleet.client() as client:
        for _ in range(_FRESH):
            begun = time.perf_counter()
            task_id = client.submit(TEXT, agent=_AGENT).id
            reach(
                lambda task_id=task_id: _succeeded(running.stack, [task_id]) == 1,
                pause_seconds=0.002,
            )
            seconds.append(time.perf_counter() - begun)
    return seconds


def _most_at_work(running: BenchFleet) -> int:
    """How many tasks run side by side when more are handed in than there are slots."""
    before, most = running.succeeded(), 0
    submit_many(running.fleet, 2 * _SLOTS, agent=_AGENT, text=f"{HOLD_ON} {time.time():.0f} ")

    def all_done() -> bool:
        nonlocal most
        most = max(most, _count(running.stack, "running"))
        return running.succeeded() == before + 2 * _SLOTS

    reach(all_done)
    return most


def _park(running: BenchFleet) -> Iterator[Said]:
    begun, first = time.monotonic(), _waiting(running.stack)
    parked, halfway = first, 0.0
    while parked < _PARKED and time.monotonic() - begun < _FILL_SECONDS:
        count = min(_BATCH, _PARKED - parked)
        submit_many(running.fleet, count, agent=_AGENT, text=PAY_OUT)
        parked += count
        _reach_waiting(running.stack, parked - _SLOTS)
        if not halfway and parked >= _PARKED / 2:
            halfway = _memory(running)
    _reach_waiting(running.stack, parked)
    seconds = time.monotonic() - begun
    yield Figure(name="parked.halfway.worker_memory", value=halfway, unit="MB")
    yield Figure(name="parked.rate", value=(parked - first) / seconds, unit="tasks/s")
    if parked < _PARKED:
        original = _oldest(running.stack, 1)[0][1]
        add_parked_copies(running.stack.engine, original, _PARKED - parked)
    tidy_up(running.stack.engine)
    yield Remark(
        text=f"{parked} were parked by workers, {_PARKED - parked} are copies of such rows"
    )


def _queues(stack: Stack) -> Iterator[Said]:
    """Messages, taken and not, of every queue of the run."""
    try:
        # Quorum queues tell their depth every five seconds.
        reach(lambda: _messages_elsewhere(_depths(stack)) == 0, limit_seconds=20)
    except Disturbed:
        yield Remark(text=f"messages are left: {_depths(stack)}")
    except (OSError, subprocess.CalledProcessError):
        yield Remark(text="rabbitmqctl cannot be asked: the queues were not looked at")
        return
    depths = _depths(stack)
    elsewhere = _messages_elsewhere(depths)
    yield Figure(name="parked.messages_elsewhere", value=elsewhere, unit="messages")
    announced = depths[REVIEW_QUEUE]
    yield Figure(name="parked.messages_in_human_review", value=announced, unit="messages")


def _messages_elsewhere(depths: Mapping[str, int]) -> int:
    return sum(count for name, count in depths.items() if name != REVIEW_QUEUE)


def _depths(stack: Stack) -> dict[str, int]:
    vhost = stack.broker_url.rpartition("/")[2]
    words = ("rabbitmqctl", "-q", "list_queues", "-p", vhost, "name", "messages")
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: int(count) for name, count in rows if count.isdigit()}


def _inbox(running: BenchFleet) -> Iterator[Said]:
    yield from _plan(running.stack)
    base, key = running.fleet.api_url, running.stack.api_key
    with httpx2.Client(base_url=base, timeout=20, follow_redirects=True) as client:
        client.post("/console/sign-in", data={"key": key}).raise_for_status()
        page = client.get("/console/reviews")
        if "/console/reviews/" not in page.text:
            raise Disturbed("The inbox shows no reviews: the sign-in failed.")
        yield from _pages("parked.inbox", lambda: client.get("/console/reviews"))
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=base, timeout=20, headers=headers) as client:
        yield from _pages("parked.api_list", lambda: client.get("/v1/reviews"))


def _pages(name: str, get: Callable[[], httpx2.Response]) -> Iterator[Figure]:
    seconds = []
    for _ in range(_PAGES):
        begun = time.perf_counter()
        get().raise_for_status()
        seconds.append(time.perf_counter() - begun)
    yield from spread(name, seconds, 0.5, 0.95)


def _plan(stack: Stack) -> Iterator[Remark]:
    """By which index PostgreSQL finds a page of the queue."""
    for name, wanted in (("a tenant's", QueueFilter(tenant="acme")), ("every", QueueFilter())):
        query = review_queue.page_query(wanted, limit=50)
        with stack.engine.begin() as connection:
            sql = query.compile(connection, compile_kwargs={"literal_binds": True})
            plan = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS) {sql}")).scalars().all()
        used = [line.strip() for line in plan if "Scan" in line or "Execution Time" in line]
        yield Remark(text=f"{name} page: {'; '.join(used)}")


def _resume(running: BenchFleet, payments: Path) -> Iterator[Said]:
    """Approve many at the same moment; each must go on, and pay once."""
    chosen = _oldest(running.stack, _AT_ONCE)
    headers = {"Authorization": f"Bearer {running.stack.api_key}"}
    client = httpx2.Client(base_url=running.fleet.api_url, timeout=60, headers=headers)
    with client, ThreadPoolExecutor(_AT_ONCE) as people:
        begun = time.perf_counter()
        answers = list(people.map(lambda item: _approve(client, item[0]), chosen))
        decided = time.perf_counter() - begun
        ids = [task_id for _, task_id in chosen]
        reach(lambda: _succeeded(running.stack, ids) == _AT_ONCE, pause_seconds=0.02)
        done = time.perf_counter() - begun
    made = Counter(line.split()[0] for line in payments.read_text().splitlines())
    yield Figure(name="parked.approve_p95", value=percentile(answers, 0.95) * 1000, unit="ms")
    yield Figure(name="parked.approved_after", value=decided, unit="s")
    yield Figure(name="parked.resumed_after", value=done, unit="s")
    yield Figure(name="parked.paid", value=len(made), unit="payments")
    yield Figure(name="parked.paid_twice", value=sum(made.values()) - len(made), unit="payments")
    if set(made.values()) != {1} or {UUID(key.split(":")[0]) for key in made} != set(ids):
        raise ValueError("What was paid is not what was approved: each once.")


def _approve(client: httpx2.Client, review_id: UUID) -> float:
    begun = time.perf_counter()
    client.post(f"/v1/reviews/{review_id}/approve").raise_for_status()
    return time.perf_counter() - begun


def _oldest(stack: Stack, count: int) -> list[tuple[UUID, UUID]]:
    """Ids of the reviews that wait longest, and of their tasks: such as workers have parked."""
    query = (
        select(reviews.c.id, reviews.c.task_id)
        .where(reviews.c.state == "waiting", reviews.c.kind == ReviewKind.APPROVAL)
        .order_by(reviews.c.created_at)
        .limit(count)
    )
    with stack.engine.begin() as connection:
        return [(row.id, row.task_id) for row in connection.execute(query)]


def _reach_waiting(stack: Stack, count: int) -> None:
    reach(lambda: _waiting(stack) >= count)


def _waiting(stack: Stack) -> int:
    """Approvals that wait; a janitor adds samples of the tasks that have succeeded."""
    query = select(func.count()).where(
        reviews.c.state == "waiting", reviews.c.kind == ReviewKind.APPROVAL
    )
    with stack.engine.begin() as connection:
        return connection.execute(query).scalar_one()


def _count(stack: Stack, state: str) -> int:
    query = select(func.count()).where(tasks.c.state == state)
    with stack.engine.begin() as connection:
        return connection.execute(query).scalar_one()


def _succeeded(stack: Stack, ids: Sequence[UUID]) -> int:
    query = select(func.count()).where(tasks.c.id.in_(ids), tasks.c.state == "succeeded")
    with stack.engine.begin() as connection:
        return connection.execute(query).scalar_one()
