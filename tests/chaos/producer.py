"""Hands tasks in over the broker and over HTTP, and doubles and shuffles their messages."""

import random
import time
from dataclasses import dataclass, field

from chaos.scenarios import TENANT, ChaosTask
from fleet_client import FleetClient
from fleet_client.broker import BrokerSender
from fleet_contracts.envelope import TaskEnvelope
from fleet_contracts.errors import FleetError
from support.stacks import Stack

_PAUSE_SECONDS = 0.3
_TIMEOUT_SECONDS = 5.0
_HELD_BACK = 6  # messages among which the next to be sent is drawn


@dataclass(slots=True)
class Producer:
    """Knows what was promised: the tasks whose submission the fleet or its broker confirmed."""

    stack: Stack
    api_url: str
    order: random.Random
    promised: dict[str, ChaosTask] = field(default_factory=dict)
    copies: int = 0
    _held_back: list[TaskEnvelope] = field(default_factory=list)
    _ways: tuple[FleetClient, ...] = ()
    _sender: BrokerSender | None = None

    def open(self) -> None:
        stack = self.stack
        self._ways = (
            FleetClient(broker_url=stack.broker_url, tenant=TENANT, timeout=_TIMEOUT_SECONDS),
            FleetClient(
                api_url=self.api_url,
                api_key=stack.api_key,
                tenant=TENANT,
                timeout=_TIMEOUT_SECONDS,
            ),
        )
        self._sender = BrokerSender(stack.broker_url, timeout_seconds=_TIMEOUT_SECONDS)

    def close(self) -> None:
        for way in self._ways:
            way.close()
        if self._sender is not None:
            self._sender.close()

    def submit(self, task: ChaosTask, *, until: float, over_http: bool | None = None) -> bool:
        """Hand a task in, over one way or the other, until it is taken or the time is up.

        Some time later up to two copies of its message follow, out of order.
        """
        http = bool(self.order.getrandbits(1)) if over_http is None else over_http
        way = self._ways[http]
        envelope = task.envelope
        while time.monotonic() < until:
            try:
                way.submit(
                    envelope.input,
                    agent=envelope.agent,
                    customer=envelope.customer,
                    session_id=envelope.session_id,
                    idempotency_key=envelope.idempotency_key,
                )
            except FleetError as error:
                if not error.retryable:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                self.promised[task.ref] = task
                self._held_back += [envelope] * self.order.choice((0, 0, 1, 2))
                self.send_copies(keep=_HELD_BACK)
                return True
        return False

    def send_copies(self, *, keep: int) -> None:
        """Send copies, drawn at random, until only `keep` wait. A broker that is away gets none."""
        assert self._sender is not None
        while len(self._held_back) > keep:
            place = self.order.randrange(len(self._held_back))
            try:
                self._sender.publish(self._held_back.pop(place))
            except FleetError:
                return
            self.copies += 1
