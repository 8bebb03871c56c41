"""Finds in a text for a customer what must not leave: secrets, the prompt, other people's data."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet_workers.rails.grounding import significant_digits
from fleet_workers.rails.personal_values import Kind, find_personal_values

PROMPT_WORDS: Final = 10
"""So many words of the prompt in a row are no chance: of 4,514 replies of a help desk none has
more than 4 in common with any bundled prompt."""

_KEYS: Final[Mapping[str, str]] = {
    "a key of a model's endpoint": r"\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{16,}",
    "a key of a payment service": r"\b(?:sk|rk|pk|whsec)_(?:(?:live|test)_)?[A-Za-z0-9]{16,}",
    "a key of AWS": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "a token of GitLab": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a token of Slack": r"\bxox[abeprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/[\w/]+",
    "a key of Google": r"\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{20,}",
    "a key of SendGrid": r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "a token of a package registry": r"\b(?:npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,})",
    "a private key": (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"
    ),
    "a signed token": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    "a bearer token": r"\b[Bb](?:earer|EARER)\s+(?=[\w.~+/-]*\d)[\w.~+/-]{16,}=*",
    "basic credentials": (
        r"\b[Bb](?:asic|ASIC)\s+(?=[\w+/]*[A-Z])(?=[\w+/]*[a-z])[A-Za-z0-9+/]{16,}={0,2}"
    ),
    "a password in an address": r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:(?!\*+@)[^\s/@]+@\S+",
    "a password or secret": (
        r"(?i:\b(?:pass(?:word|phrase|wd)?|pwd|passwort|secret(?:[_ ]key)?|api[_ -]?key"
        r"|access[_ -]?(?:key|token)|client[_ -]secret))[\"'`*]*\s*(?::|=|is\b)\s*[\"'`*]*"
        r"(?=[^\s\"'`]*\d)(?=[^\s\"'`]*[A-Za-z])[^\s\"'`<>,]{8,}"
    ),
}
_SECRETS: Final = [(what, re.compile(pattern, re.DOTALL)) for what, pattern in _KEYS.items()]
_SHORTEST_SECRET: Final = 6  # `prod` and `5432` stand in ordinary sentences
_SHORTEST_ID: Final = 4
_WORD: Final = re.compile(r"[^\W_]+")
_SHAPED: Final = re.compile(r"([A-Za-z]{2,}[_-])[\w-]*\d[\w-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A stretch of the text, from `start` up to, not including, `end`, and what stands there.

    `what` never holds the value itself.
    """

    start: int
    end: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What may not leave, and what is the customer's own.

    `secrets` are values by name; `instructions` the prompt and the boundary. `asked` is what the
    request says, `own` what was read of this customer's records, `foreign` what was read of
    others'. `sensitive` are values of fields that tools mark so. `foreign_ids` name other
    customers.
    """

    secrets: Mapping[str, str] = field(default_factory=dict)
    instructions: str = ""
    asked: Sequence[str] = ()
    own: Sequence[str] = ()
    foreign: Sequence[str] = ()
    sensitive: frozenset[str] = frozenset()
    foreign_ids: frozenset[str] = frozenset()
    customer: str | None = None


def find_leaks(text: str, guarded: Guarded) -> list[Leak]:
    """All leaks in their order, none within another."""
    finders: tuple[Callable[[str, Guarded], Iterator[Leak]], ...] = (
        _configured,
        _secrets,
        _instructions,
        _sensitive,
        _customers,
        _personal,
    )
    leaks: list[Leak] = []
    for find in finders:
        for leak in find(text, guarded):
            if not any(leak.start < each.end and each.start < leak.end for each in leaks):
                leaks.append(leak)
    return sorted(leaks, key=lambda each: each.start)


def blacked_out(text: str, leaks: Iterable[Leak]) -> str:
    """The text with a note of what it was in the place of each leak."""
    parts, done = [], 0
    for leak in leaks:
        parts += [text[done : leak.start], f"[removed: {leak.what}]"]
        done = leak.end
    return "".join([*parts, text[done:]])


def _secrets(text: str, _guarded: Guarded) -> Iterator[Leak]:
    for what, pattern in _SECRETS:
        for match in pattern.finditer(text):
            yield Leak(start=match.start(), end=match.end(), what=what)


def _configured(text: str, guarded: Guarded) -> Iterator[Leak]:
    """Values of the tools' environment, as they are, spaced out, or in base64."""
    for name, value in guarded.secrets.items():
        if len(value) < _SHORTEST_SECRET or any(value in each for each in guarded.asked):
            continue
        encoded = base64.b64encode(value.encode()).decode().rstrip("=")
        for form in dict.fromkeys((value, encoded)):
            pattern = r"[\s\-]*".join(map(re.escape, form))
            for match in re.finditer(pattern, text, re.IGNORECASE):
                yield Leak(start=match.start(), end=match.end(), what=f"the value of {name}")


def _instructions(text: str, guarded: Guarded) -> Iterator[Leak]:
    """Runs of words of the prompt that no record and no request holds, too."""
    known = _runs(" \n ".join([*guarded.asked, *guarded.own]))
    theirs = _runs(guarded.instructions).keys() - known.keys()
    start = end = None
    for run, (begins, ends) in _placed(text):
        if run not in theirs:
            continue
        if end is None or begins > end:
            if start is not None and end is not None:
                yield Leak(start=start, end=end, what="a part of the agent's instructions")
            start = begins
        end = ends
    if start is not None and end is not None:
        yield Leak(start=start, end=end, what="a part of the agent's instructions")


def _sensitive(text: str, guarded: Guarded) -> Iterator[Leak]:
    asked = "\n".join(guarded.asked)
    for value in guarded.sensitive:
        if len(value) >= _SHORTEST_ID and not _places(value, asked):
            for start, end in _places(value, text):
                yield Leak(start=start, end=end, what="a value that is marked as sensitive")


def _customers(text: str, guarded: Guarded) -> Iterator[Leak]:
    """Ids of other customers: those that were read, and whatever looks like this one's own."""
    asked = "\n".join(guarded.asked)
    ids = {each for each in guarded.foreign_ids if len(each) >= _SHORTEST_ID}
    shape = _SHAPED.fullmatch(guarded.customer or "")
    if shape:
        alike = re.compile(rf"(?<![\w-]){re.escape(shape[1])}[\w-]*\d[\w-]*", re.IGNORECASE)
        ids |= {match.group().rstrip("-") for match in alike.finditer(text)}
    for value in ids:
        if value.lower() != (guarded.customer or "").lower() and not _places(value, asked):
            for start, end in _places(value, text):
                yield Leak(start=start, end=end, what="the id of another customer")


def _personal(text: str, guarded: Guarded) -> Iterator[Leak]:
    """Personal data that stands neither in the request nor in the customer's own records."""
    values = find_personal_values(text)
    if not values:
        return
    own = [_compact(each) for each in (*guarded.asked, *guarded.own, guarded.instructions)]
    foreign = [_compact(each) for each in guarded.foreign]
    for each in values:
        written = text[each.start : each.end]
        value = significant_digits(written) if each.kind is Kind.PHONE else _compact(written)
        if not any(value in known for known in own):
            whose = "of somebody else" if any(value in known for known in foreign) else "not known"
            kind = str(each.kind).replace("_", " ")
            yield Leak(start=each.start, end=each.end, what=f"personal data ({kind}) {whose}")


def _placed(text: str) -> Iterator[tuple[tuple[str, ...], tuple[int, int]]]:
    words = [(match.group().casefold(), match.span()) for match in _WORD.finditer(text)]
    for at in range(len(words) - PROMPT_WORDS + 1):
        run = words[at : at + PROMPT_WORDS]
        yield tuple(word for word, _ in run), (run[0][1][0], run[-1][1][1])


def _runs(text: str) -> dict[tuple[str, ...], tuple[int, int]]:
    return dict(_placed(text))


def _places(value: str, text: str) -> list[tuple[int, int]]:
    pattern = rf"(?<![^\W_]){re.escape(value)}(?![^\W_])"
    return [match.span() for match in re.finditer(pattern, text, re.IGNORECASE)]


def _compact(text: str) -> str:
    return "".join(each for each in text.casefold() if each.isalnum() or each == "\n")
