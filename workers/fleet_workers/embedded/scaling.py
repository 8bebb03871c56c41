"""How many processes a pool should have: a decision over what was seen, without any I/O."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet_contracts.errors import ConfigurationError

MOST_PROCESSES: Final = 16
_FORM: Final = re.compile(r"(?P<agent>[a-z][a-z0-9_]*)=(?P<least>\d{1,4}):(?P<most>\d{1,4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The fewest and the most processes of a pool."""

    least: int = 1
    most: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was seen of a pool at one moment.

    `at` is on any clock that does not jump, in seconds. `processes` are those that can be added
    and ended, and `ready` how many of them take tasks. `slots` and `busy_slots` are those of all
    processes that serve the pool. `backlog` is how many tasks could be taken now, and
    `oldest_seconds` how long the first of them has waited. `unread` are messages on the broker that
    no worker has taken in.
    """

    at: float
    processes: int
    ready: int
    slots: int
    busy_slots: int
    backlog: int
    oldest_seconds: float
    unread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a pool grows and shrinks.

    It grows where at least `busy_share` of its slots work and either a task waits for each slot
    (`backlog_per_slot`) or the oldest has waited for `oldest_seconds`, all of it throughout
    `grow_after_seconds`. A queue that free slots do not take (its agent is paused, its tenants are
    at their limits, its sessions have their turn elsewhere) is no reason. As many messages that
    wait unread are one by themselves: its processes do not even come to take them in. With
    `double_at` tasks for each slot it doubles, else it grows by one.

    It shrinks by one where what works would fill at most `idle_share` of the slots that stay,
    throughout `shrink_after_seconds`. Where it had to grow within `regret_seconds` of that, the
    next time is waited for twice as long, up to `longest_shrink_seconds`: short tasks leave the
    slots of a pool empty that one process less could not do. `forgive_seconds` without such a
    regret, and it shrinks as readily as at first.
    """

    busy_share: float = (
        0.25  # short tasks that fill a core have been seen to fill 0.37 of the slots
    )
    backlog_per_slot: float = 1.0
    oldest_seconds: float = 10.0
    double_at: float = 10.0
    grow_after_seconds: float = 3.0
    settle_seconds: float = 5.0
    """A process that became ready has so long to show what it does before another is added."""
    idle_share: float = 0.5
    shrink_after_seconds: float = 30.0
    regret_seconds: float = 120.0
    longest_shrink_seconds: float = 900.0
    forgive_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many processes there should be, and why, for people."""

    processes: int
    reason: str


@dataclass(slots=True)
class PoolScaler:
    """Decides for one pool, from one sample after another."""

    bounds: Bounds
    rules: Rules = field(default_factory=Rules)
    _over_since: float | None = None
    _idle_since: float | None = None
    _changed_at: float | None = None
    _shrunk_at: float | None = None
    _shrink_after: float | None = None
    _regretted_at: float | None = None

    def decide(self, sample: Sample) -> Decision | None:
        """A new number of processes, or None where it stays as it is."""
        if sample.processes < self.bounds.least:
            return self._changed(sample, self.bounds.least, "below its least number")
        if sample.processes > self.bounds.most:
            return self._changed(sample, self.bounds.most, "above its greatest number")
        if sample.ready < sample.processes:  # what starts shall show first what it does
            self._over_since = self._idle_since = None
            self._changed_at = sample.at
            return None
        self._forgive(sample.at)
        self._follow(sample)
        return self._grown(sample) or self._shrunk(sample)

    def forget(self) -> None:
        """Begin to watch anew, as after a time in which nothing could be seen."""
        self._over_since = self._idle_since = None

    def _follow(self, sample: Sample) -> None:
        self._over_since = _since(self._over_since, sample.at, holds=self._is_over(sample))
        self._idle_since = _since(self._idle_since, sample.at, holds=self._is_idle(sample))

    def _is_over(self, sample: Sample) -> bool:
        rules = self.rules
        waits = sample.backlog >= rules.backlog_per_slot * sample.slots
        waits |= sample.backlog > 0 and sample.oldest_seconds >= rules.oldest_seconds
        is_at_work = sample.busy_slots >= rules.busy_share * sample.slots
        is_flooded = sample.unread >= rules.backlog_per_slot * sample.slots
        return sample.slots > 0 and ((waits and is_at_work) or is_flooded)

    def _is_idle(self, sample: Sample) -> bool:
        staying = sample.slots * (sample.processes - 1) / sample.processes
        return sample.busy_slots <= self.rules.idle_share * staying and not self._is_over(sample)

    def _grown(self, sample: Sample) -> Decision | None:
        rules = self.rules
        settled = self._changed_at is None or sample.at - self._changed_at >= rules.settle_seconds
        held = _held(self._over_since, sample.at, rules.grow_after_seconds)
        if not (held and settled) or sample.processes >= self.bounds.most:
            return None
        self._regret(sample.at)
        doubled = sample.backlog >= rules.double_at * sample.slots
        wanted = sample.processes * 2 if doubled else sample.processes + 1
        reason = (
            f"{sample.backlog} wait for {sample.slots} slots, the first for "
            f"{sample.oldest_seconds:.0f} s"
        )
        return self._changed(sample, min(wanted, self.bounds.most), reason)

    def _shrunk(self, sample: Sample) -> Decision | None:
        if sample.processes <= self.bounds.least:
            return None
        if not _held(self._idle_since, sample.at, self._patience):
            return None
        self._shrunk_at = sample.at
        reason = f"{sample.busy_slots} of {sample.slots} slots at work"
        return self._changed(sample, sample.processes - 1, reason)

    @property
    def _patience(self) -> float:
        return self._shrink_after or self.rules.shrink_after_seconds

    def _regret(self, at: float) -> None:
        """Note that it grows, which it may have had to because it shrank."""
        rules, shrunk_at = self.rules, self._shrunk_at
        if shrunk_at is not None and at - shrunk_at < rules.regret_seconds:
            self._shrink_after = min(2 * self._patience, rules.longest_shrink_seconds)
            self._shrunk_at = None  # one regret for one shrinking
            self._regretted_at = at

    def _forgive(self, at: float) -> None:
        if self._regretted_at is not None and at - self._regretted_at > self.rules.forgive_seconds:
            self._shrink_after = self._regretted_at = None

    def _changed(self, sample: Sample, processes: int, reason: str) -> Decision:
        self._changed_at = sample.at
        self._over_since = self._idle_since = None
        return Decision(processes=processes, reason=reason)


def read_bounds(words: Iterable[str], agents: Iterable[str]) -> Mapping[str, Bounds]:
    """Bounds by agent from words as `billing=1:4`; of two for one agent the later counts.

    Raises:
        ConfigurationError: A word has another form, names no agent, or its numbers make no sense.
    """
    known = sorted(agents)
    bounds: dict[str, Bounds] = {}
    for word in words:
        found = _FORM.fullmatch(word.strip())
        if found is None:
            raise ConfigurationError(
                f"{word!r} says no bounds of a pool: write AGENT=LEAST:MOST, as billing=1:4."
            )
        agent, least, most = found["agent"], int(found["least"]), int(found["most"])
        if agent not in known:
            raise ConfigurationError(
                f"{word!r} names no agent of this fleet: there are {', '.join(known)}."
            )
        if not 1 <= least <= most <= MOST_PROCESSES:
            raise ConfigurationError(
                f"{word!r}: a pool has 1 to {MOST_PROCESSES} processes here, and at most as many "
                "as the second number says."
            )
        bounds[agent] = Bounds(least=least, most=most)
    return bounds


def _since(before: float | None, now: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return now if before is None else before


def _held(since: float | None, now: float, seconds: float) -> bool:
    return since is not None and now - since >= seconds
