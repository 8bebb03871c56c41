"""The router as processes have it: trained when it is needed, and never in the way of a task."""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

import structlog

from fleet_contracts.errors import FleetError
from fleet_workers.agents.release import AgentRelease
from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.embeddings import Embedder, embedder_of
from fleet_workers.routing.examples import examples_of
from fleet_workers.routing.sufficiency import MISROUTED, lacking, may_judge, needed_for
from fleet_workers.routing.verdict import Verdict
from fleet_workers.settings import Settings

if TYPE_CHECKING:
    from fleet_workers.routing.intents import IntentRouter

log = structlog.get_logger(__name__)

AGAIN_SECONDS: Final = 60.0
"""How long a router that could not be trained, as its endpoint was away, is left alone."""

SURE_OF_INTENT: Final = 0.8
"""From which probability on an intent is told: two requests of one intent may get one answer."""


class Router:
    """Routes by the agents' own examples; of one process, safe to use from every slot.

    Nothing is imported, loaded or asked before the first use or `prepare`. Where an agent has too
    few examples nothing is trained to route at all.
    """

    def __init__(
        self,
        releases: Iterable[AgentRelease],
        embedder: Embedder,
        *,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._examples = examples_of(releases)
        self._embedder = embedder
        self._again_seconds = again_seconds
        self._lock = Lock()
        self._trained: IntentRouter | None = None
        self._again_at = 0.0
        agents = [each.agent for each in self._examples]
        self._why_not = None if may_judge(agents) else _too_few(agents)

    def prepare(self) -> None:
        """Train now, so that no task waits for it: a second or two of one core."""
        if self._why_not is None:
            self._model()
        else:
            log.info("router.idle", why=self._why_not)

    def route(self, text: str) -> Verdict:
        """Where a masked text should go; unknown where no verdict could be had. Never raises."""
        if self._why_not is not None:
            return Verdict(zone="unknown", why=self._why_not)
        try:
            model = self._model()
            if model is None:
                return Verdict(zone="unknown", why="The router could not be trained.")
            return model.route(text)
        except FleetError as error:
            log.warning("router.away", error=str(error))
            return Verdict(zone="unknown", why="Embeddings are away.")

    def intent_of(self, asked: AskedFor) -> str | None:
        """What a request wants, where that is nearly sure; None otherwise. Never raises."""
        try:
            model = self._model()
            found = None if model is None else model.intent(asked.text, agent=asked.agent)
        except FleetError as error:
            log.warning("router.away", error=str(error))
            return None
        return found.intent if found and found.probability >= SURE_OF_INTENT else None

    def _model(self) -> "IntentRouter | None":
        with self._lock:
            if self._trained is None and self._examples and time.monotonic() >= self._again_at:
                self._train()
            return self._trained

    def _train(self) -> None:
        from fleet_workers.routing.intents import IntentRouter  # noqa: PLC0415 brings numpy

        begun = time.monotonic()
        try:
            self._trained = IntentRouter.train(self._examples, embedder=self._embedder)
        except FleetError as error:
            # Tasks go the model's way meanwhile, which needs no router.
            log.warning("router.not_trained", error=str(error))
            self._again_at = time.monotonic() + self._again_seconds
        else:
            log.info(
                "router.trained",
                examples=self._trained.size,
                embedder=self._trained.name,
                seconds=round(time.monotonic() - begun, 2),
            )


@contextmanager
def open_router(settings: Settings, releases: Iterable[AgentRelease]) -> Iterator[Router]:
    """A router with the settings' embedder, whose connections are closed in the end.

    Raises:
        ConfigurationError: The embedder that the settings name is not set or not installed.
    """
    with closing(embedder_of(settings)) as embedder:
        yield Router(releases, embedder)


def _too_few(agents: Iterable[str]) -> str:
    few = ", ".join(f"{name} has {count}" for name, count in lacking(agents, MISROUTED).items())
    return (
        f"The router needs {needed_for(MISROUTED)} examples of each agent, and {few or 'has none'}:"
        " add requests to its examples.jsonl."
    )
