"""Starts `fleetctl` with the instant model, which notes in a file whom it was asked about."""

import os
from typing import Any

from bench import instant_model
from bench.instant_model import InstantModel
from fleet_workers import wiring
from fleet_workers.models.messages import ChatReply, ChatRequest

ASKED_FILE = "BENCH_ASKED_FILE"
"""Names the file. A line is appended for each question, in one write, by any number of processes:
the last word of the request."""

HELD_SECONDS = "BENCH_HELD_SECONDS"
"""Another time for what `HOLD_ON` asks for."""


class CountingModel(InstantModel):
    """The instant model, whose questions can be counted."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(os.environ[ASKED_FILE], flags, 0o600)

    def complete(self, request: ChatRequest) -> ChatReply:
        """Note it, then answer."""
        words = str(request.messages[-1]["content"]).split()
        os.write(self._file, f"{words[-1]}\n".encode())
        return super().complete(request)


if __name__ == "__main__":
    from fleet_workers import cli

    if held := os.environ.get(HELD_SECONDS):
        instant_model.HELD_SECONDS = float(held)
    wiring.Gateway = CountingModel  # type: ignore[assignment, misc] # it has what workers use
    cli.main()
