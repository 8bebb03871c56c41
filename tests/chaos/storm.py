"""What is done to the servers while tasks are at work, one thing after another."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from chaos.ground import Ground
from chaos.judge import endings
from chaos.producer import Producer
from chaos.takeover import TakeoverWatch

_CALM_SECONDS = 8.0
"""Between two disturbances: longer than any server takes to come back and be found again."""
_STORED_SECONDS = 30.0
_LOOK_SECONDS = 0.2


class Storm:
    """Disturbs the servers once each. `done` counts what was done, by name."""

    def __init__(self, ground: Ground, producer: Producer, watch: TakeoverWatch) -> None:
        self._ground = ground
        self._producer = producer
        self._watch = watch
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm", daemon=True)
        self.done: Counter[str] = Counter()
        self.trouble: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._ended.set()
        self._thread.join(timeout=60)

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        for name, disturb in self._disturbances():
            if self._ended.wait(_CALM_SECONDS):
                return
            self._watch.is_calm = False
            try:
                disturb()
            except Exception as error:  # noqa: BLE001 a server that does not come back is a finding of its own
                self.trouble.append(f"{name}: {error!r}")
            else:
                self.done[name] += 1
            self._ended.wait(_CALM_SECONDS)
            self._watch.is_calm = True

    def _disturbances(self) -> list[tuple[str, Callable[[], None]]]:
        ground = self._ground
        every: list[tuple[str, Callable[[], None]]] = [
            ("store_restarted", lambda: ground.restart_store(signal.SIGINT)),
            ("broker_restarted", ground.restart_broker),
            ("sessions_flushed", ground.restart_sessions),
            ("store_killed", lambda: ground.restart_store(signal.SIGKILL)),
        ]
        # What only the broker knows is lost with it, so nothing may be promised on its word then.
        if ground.rabbit is None:
            every.insert(0, ("broker_flushed", self._flush_broker))
        return every

    def _flush_broker(self) -> None:
        with self._producer.over_http_only():
            deadline = time.monotonic() + _STORED_SECONDS
            while len(endings(self._ground.stack.engine, self._producer.promised)) < len(
                self._producer.promised
            ):
                if time.monotonic() > deadline:
                    raise TimeoutError("Tasks promised by the broker do not reach the store.")
                time.sleep(_LOOK_SECONDS)
            self._ground.flush_broker()
