"""A model that words each repeated request anew, and counts what it was asked more than once."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from chaos.marks import Read
from chaos.scenarios import reply_for, task_id_of, turn_of
from fleet_contracts.errors import PermanentError
from fleet_workers.models.messages import ChatRequest
from fleet_workers.testing.replies import Reply

Turn = tuple[str, int]
"""A task's reference, and the number of replies that its conversation held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedCalls:
    """Model calls beyond the first for one point of a conversation.

    `answered` had been answered to a worker that then died or was overtaken, `cut_off` were under
    way when their worker died, `recorded` stood in the store and must not have been made again.
    """

    answered: int
    cut_off: int
    recorded: tuple[Turn, ...]


class RewordingModel:
    """The script of `ScriptedServer`: what `reply_for` says, in other words each time.

    Asking it again after a committed write would so do the write again under a new key.
    """

    def __init__(self, plans_recorded: Callable[[UUID], int]) -> None:
        self._plans_recorded = plans_recorded
        self._asked: dict[Turn, list[float]] = defaultdict(list)
        self._recorded: list[Turn] = []
        self._lock = threading.Lock()

    def next_line(self, request: ChatRequest) -> tuple[Reply, int]:
        tags, replies = turn_of(request.messages)
        if "task" not in tags:
            raise PermanentError("This model knows chaos tasks only.")
        turn = (tags["task"], replies)
        with self._lock:
            before = len(self._asked[turn])
            self._asked[turn].append(time.time())
        if before and self._is_recorded(turn):
            with self._lock:
                self._recorded.append(turn)
        return reply_for(tags, replies, before), replies

    def _is_recorded(self, turn: Turn) -> bool:
        try:
            return self._plans_recorded(task_id_of(turn[0])) > turn[1]
        except SQLAlchemyError:  # the store is restarted on purpose
            return False

    def repeated(
        self, reads: Sequence[Read], *, cut_on_purpose: Mapping[str, int], late: Container[Turn]
    ) -> RepeatedCalls:
        """Sort the repeated calls by whether a worker had read the reply before.

        `cut_on_purpose` says how often a task's worker was killed between reading a reply and
        recording it: as many of its calls count as cut off. `late` holds what a revived worker
        read: its call may have been under way all the time that it was stalled.
        """
        first_read: dict[Turn, float] = {}
        for read in reads:
            turn = (read.ref, read.replies)
            first_read[turn] = min(read.at, first_read.get(turn, read.at))
        left = Counter(cut_on_purpose)
        answered = cut_off = 0
        with self._lock:
            for turn, times in self._asked.items():
                after = sum(at > first_read.get(turn, time.time()) for at in times[1:])
                excused = min(after, left[turn[0]])
                left[turn[0]] -= excused
                after -= excused
                answered += after
                cut_off += len(times) - 1 - after
            return RepeatedCalls(
                answered=answered,
                cut_off=cut_off,
                recorded=tuple(turn for turn in self._recorded if turn not in late),
            )
