"""The service behind the parcels agent: does each effect once a key, and can be made to hang."""

import threading
from collections.abc import Mapping
from typing import Any

TRACKED = {"status": "in Lyon", "price_usd": "40.00"}


class ParcelShop:
    """`effects` lists what was done, `asked` counts every request by path and order."""

    def __init__(self) -> None:
        self.effects: list[tuple[str, str]] = []
        self.asked: dict[tuple[str, str], int] = {}
        self._done: set[str] = set()
        self._held: dict[str, threading.Event] = {}
        self._reads_held: set[str] = set()
        self._lock = threading.Lock()

    def hold(self, order_id: str) -> None:
        """Let requests about an order take effect, but not be answered until `release`."""
        self._held[order_id] = threading.Event()

    def hold_reads(self, order_id: str) -> None:
        """Let look-ups of an order wait, too."""
        self._reads_held.add(order_id)
        self.hold(order_id)

    def release(self, order_id: str) -> None:
        self._held.pop(order_id).set()

    def effects_on(self, order_id: str) -> list[str]:
        return [path for path, order in self.effects if order == order_id]

    def answer(
        self, path: str, body: dict[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        order_id = body["order_id"]
        with self._lock:
            self.asked[path, order_id] = self.asked.get((path, order_id), 0) + 1
            key = headers["Idempotency-Key"]
            if path != "track" and key not in self._done:
                self._done.add(key)
                self.effects.append((path, order_id))
        held = self._held.get(order_id)
        if held and (path != "track" or order_id in self._reads_held):
            held.wait(30)
        return 200, TRACKED if path == "track" else {"ok": True}
