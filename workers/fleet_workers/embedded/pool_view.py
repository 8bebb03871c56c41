"""What an autoscaler sees: open tasks and living workers in the store, messages on the broker."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from fleet_contracts.errors import Unavailable
from fleet_workers.broker.postman import Postman
from fleet_workers.settings import Settings
from fleet_workers.store.engine import open_engine, store_errors
from fleet_workers.store.pools import AgentLoad, Worker, load_by_agent, workers_alive


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the store and the broker told. `messages` are those that no worker took in yet."""

    now: datetime
    loads: Mapping[str, AgentLoad]
    workers: Sequence[Worker]
    messages: Mapping[str, int]


@contextmanager
def looking(settings: Settings, agents: Iterable[str]) -> Iterator[Callable[[], Seen]]:
    """What reads the store and the broker; it raises Unavailable while the store is away."""
    queues = tuple(agents)
    engine = open_engine(settings.sqlalchemy_url, connections=1, application="autoscaler")
    postman = Postman(engine, settings.broker_url)

    def look() -> Seen:
        with store_errors(), engine.begin() as connection:
            loads = load_by_agent(connection, tenant=None)
            workers = workers_alive(connection)
            now = connection.execute(select(func.now())).scalar_one()
        try:
            messages = {agent: postman.count_messages(agent) for agent in queues}
        except Unavailable:
            messages = {}
        return Seen(now=now, loads=loads, workers=workers, messages=messages)

    with closing(postman):
        try:
            yield look
        finally:
            engine.dispose()
