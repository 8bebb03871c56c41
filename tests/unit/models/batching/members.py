"""Tasks whose requests may share a call, and slots that ask as the loop does."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Barrier
from typing import Any

from fleet_workers.models.asked_for import AskedFor, BatchRules
from fleet_workers.models.control import CONTROL_SCHEMAS
from fleet_workers.models.messages import AskAgain, ChatModel, ChatReply, ChatRequest, Spent
from unit.models.questions import TOOL

HEAD = "You help the customers of a shop. " * 60
RULES = BatchRules(most=50, longest_wait_seconds=0.15)


def member(number: int, text: str | None = None, **changes: Any) -> ChatRequest:
    """The first question of task `number`; `changes` are fields of `AskedFor`."""
    words = text or f"I am customer {number:04d}."
    about = f"The customer is c{number}."
    asked = AskedFor(
        task_id=str(number),
        tenant="acme",
        agent="billing",
        release="billing@v1",
        customer=f"c{number}",
        priority="normal",
        text=words,
        is_first=True,
        flagged=False,
        about=about,
        batching=RULES,
    )
    return ChatRequest(
        messages=[
            {"role": "system", "content": f"{HEAD}\n{about}"},
            {"role": "user", "content": words},
        ],
        tools=[TOOL, *CONTROL_SCHEMAS],
        timeout_seconds=20.0,
        asked_for=replace(asked, **changes),
    )


@dataclass(kw_only=True)
class Ended:
    """How a question ended, what its failed rounds took, and how long it all was."""

    told: ChatReply | Exception
    lost: list[Spent] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def reply(self) -> ChatReply:
        assert isinstance(self.told, ChatReply), self.told
        return self.told


def ask(model: ChatModel, request: ChatRequest) -> Ended:
    """Ask until an answer is there, or an error that is not `AskAgain`."""
    begun, lost = time.monotonic(), []
    while True:
        told: ChatReply | Exception
        try:
            told = model.complete(request)
        except AskAgain as error:
            lost.append(error.spent)
            continue
        except Exception as error:  # noqa: BLE001 the test looks at it
            told = error
        return Ended(told=told, lost=lost, seconds=time.monotonic() - begun)


def ask_at_once(model: ChatModel, requests: Sequence[ChatRequest], slots: int = 100) -> list[Ended]:
    """All at the same moment, each in a slot of its own."""
    begin = Barrier(len(requests))

    def work(request: ChatRequest) -> Ended:
        begin.wait()
        return ask(model, request)

    with ThreadPoolExecutor(slots) as pool:
        return list(pool.map(work, requests))
