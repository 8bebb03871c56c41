"""Hands tasks in over the broker and over HTTP, and doubles and shuffles their messages."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator

from chaos.scenarios import TENANT, ChaosTask
from fleet_client import FleetClient
from fleet_client.broker import BrokerSender
from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import FleetError, UnknownAgent
from support.stacks import Stack

_PAUSE_SECONDS = 0.3
_TIMEOUT_SECONDS = 5.0
_BROKER_SHARE = 0.6  # of those that belong to no session: together, near half
_HELD_BACK = 6  # messages among which the next to be sent is drawn


class Producer:
    """Knows what was promised: the tasks that the fleet or its broker confirmed, in that order.

    Used by one thread, but for `over_http_only`.
    """

    def __init__(self, stack: Stack, *, api_url: str, seed: int) -> None:
        self.promised: dict[str, ChaosTask] = {}
        self.copies = 0
        self._order = random.Random(seed)
        self._broker = FleetClient(
            broker_url=stack.broker_url, tenant=TENANT, timeout=_TIMEOUT_SECONDS
        )
        self._http = FleetClient(
            api_url=api_url, api_key=stack.api_key, tenant=TENANT, timeout=_TIMEOUT_SECONDS
        )
        self._sender = BrokerSender(stack.broker_url, timeout_seconds=_TIMEOUT_SECONDS)
        self._held_back: list[TaskEnvelope] = []
        self._submitting = threading.Lock()
        self._http_only = False

    def close(self) -> None:
        for each in (self._broker, self._http, self._sender):
            each.close()

    @contextlib.contextmanager
    def over_http_only(self) -> Iterator[None]:
        """Promise nothing on the broker's word inside the block."""
        with self._submitting:
            self._http_only = True
        try:
            yield
        finally:
            self._http_only = False

    def submit(self, task: ChaosTask, *, until: float) -> bool:
        """Hand a task in over either way, again and again until it is taken or the time is up.

        A session's tasks all go over HTTP: over two ways their order would not be known. Some
        time later up to two copies of the task's message follow, out of order.
        """
        over_broker = self._order.random() < _BROKER_SHARE and task.session_id is None
        while time.monotonic() < until:
            with self._submitting:
                way = self._broker if over_broker and not self._http_only else self._http
                if self._is_taken(task, way):
                    self.promised[task.ref] = task
                    break
            time.sleep(_PAUSE_SECONDS)
            over_broker = over_broker and bool(self._order.getrandbits(2))
        else:
            return False
        self._held_back += [task.envelope] * self._order.choice((0, 0, 1, 2))
        self.send_copies(keep=_HELD_BACK)
        return True

    def send_copies(self, *, keep: int) -> None:
        """Send copies, drawn at random, until only `keep` wait. A broker that is away gets none."""
        while len(self._held_back) > keep:
            place = self._order.randrange(len(self._held_back))
            try:
                self._sender.publish(self._held_back.pop(place))
            except FleetError:
                return
            self.copies += 1

    @staticmethod
    def _is_taken(task: ChaosTask, way: FleetClient) -> bool:
        envelope = task.envelope
        try:
            way.submit(
                envelope.input,
                agent=envelope.agent,
                customer=envelope.customer,
                session_id=envelope.session_id,
                idempotency_key=envelope.idempotency_key,
            )
        except UnknownAgent:  # a broker that lost its queues takes nothing, and says so
            return False
        except FleetError as error:
            if not error.retryable:
                raise
            return False
        return True
