"""Escalates reviews for which nobody had time."""

from sqlalchemy import Engine

from fleet_workers.agents import AgentCatalogue
from fleet_workers.broker.postman import Postman
from fleet_workers.review.escalation import escalate
from fleet_workers.store import review_queue
from fleet_workers.store.engine import store_errors

_BATCH = 200


class Escalator:
    """Does what is due to overdue reviews. Any number may be at work."""

    def __init__(self, engine: Engine, postman: Postman, catalogue: AgentCatalogue) -> None:
        self._engine = engine
        self._postman = postman
        self._catalogue = catalogue

    def work(self) -> int:
        """Do one step of each overdue item; gives their number.

        Raises:
            Unavailable: The store is away.
        """
        with store_errors(), self._engine.connect() as connection:
            due = review_queue.due_to_escalate(connection, limit=_BATCH)
        for review_id, task_id in due:
            with store_errors(), self._engine.begin() as connection:
                letters = escalate(connection, self._catalogue, review_id, task_id)
            self._postman.send(letters)
        return len(due)
