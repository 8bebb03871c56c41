"""What the router learns from: the requests that the agents' folders name as theirs."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fleet_workers.agents.release import AgentRelease
from fleet_workers.rails.personal_data import Masker

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A request with its agent; `intent` is None where only the agent is known."""

    text: str
    agent: str
    intent: str | None = None


def examples_of(releases: Iterable[AgentRelease]) -> list[Labelled]:
    """All examples of the agents, in an order that depends on nothing but their content.

    Of examples.jsonl, of golden.jsonl, and the lines of `scope.handles`; personal data in them is
    masked, as it is in requests. What one agent says twice counts once.
    """
    found: dict[tuple[str, str], Labelled] = {}
    for release in releases:
        for text, intent in _texts(release):
            masked = Masker().mask(text)
            key = (release.name, " ".join(words_of(masked)) or masked)
            found.setdefault(key, Labelled(text=masked, agent=release.name, intent=intent))
    return [found[key] for key in sorted(found)]


def spread(examples: Sequence[Labelled], most: int) -> Sequence[Labelled]:
    """At most so many examples, of every agent and intent about the same share."""
    if len(examples) <= most:
        return examples
    ordered = sorted(examples, key=lambda each: (each.agent, each.intent or "", each.text))
    return [ordered[place * len(ordered) // most] for place in range(most)]


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without numbers."""
    return _WORD.findall(text.lower())


def _texts(release: AgentRelease) -> Iterator[tuple[str, str | None]]:
    for example in release.examples:
        yield example.text, example.intent
    for golden in release.golden:
        yield golden.text, None
    for line in release.manifest.scope.handles:
        yield line, None
