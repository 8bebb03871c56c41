"""Keeps a request's words and personal data out of logs, error reports and spans."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from fleet_workers.telemetry.run_scope import run_scope

Mask = Callable[[str], str]

REQUEST: Final = "[request]"
"""What stands in place of a run of the request's own words."""

_ECHO_WORDS: Final = 3  # fewer in a row are common to many texts
_WORD: Final = re.compile(r"\w+")
_MOST_CHARACTERS: Final = 20_000

_mask: Mask | None = None


def use_mask(mask: Mask) -> None:
    """Let `mask` hide personal data from now on, in this process."""
    global _mask  # noqa: PLW0603 one a process, as the logs are
    _mask = mask


def redact(text: str) -> str:
    """The text without personal data, and without what it repeats of the request at hand."""
    shown = text[:_MOST_CHARACTERS]
    scope = run_scope()
    if scope is not None and scope.words:
        shown = without_echo(shown, scope.words)
    return mask(shown)


def mask(text: str) -> str:
    """The text without personal data."""
    return text if _mask is None else _mask(text)


def without_echo(text: str, words: str) -> str:
    """The text with `[request]` for each run of three or more words that stand so in `words`.

    Of a shorter request, all of it is hidden.
    """
    size, known = _runs(words)
    if not known:
        return text
    found = list(_WORD.finditer(text))
    said = [each.group().lower() for each in found]
    shown, done = [], 0
    place = 0
    while place + size <= len(said):
        if tuple(said[place : place + size]) not in known:
            place += 1
            continue
        last = place + size
        while last < len(said) and tuple(said[last - size + 1 : last + 1]) in known:
            last += 1
        shown += [text[done : found[place].start()], REQUEST]
        done = found[last - 1].end()
        place = last
    return "".join([*shown, text[done:]])


@lru_cache(maxsize=256)
def _runs(words: str) -> tuple[int, frozenset[tuple[str, ...]]]:
    said = [each.group().lower() for each in _WORD.finditer(words[:_MOST_CHARACTERS])]
    size = min(_ECHO_WORDS, len(said))
    if size == 0:
        return 0, frozenset()
    return size, frozenset(
        tuple(said[place : place + size]) for place in range(len(said) - size + 1)
    )
