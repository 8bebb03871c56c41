"""Tells what a request asks to be done, from its words alone: the base of the plan lock."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_SAME: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(words.split())
    for words in (
        "create add make new schedule set book plan open put write start generate build",
        "add append insert include attach invite put extend",
        "send write post message mail email reply tell forward notify inform respond text",
        "post publish upload write share",
        "delete remove erase drop clear",
        "cancel stop end terminate abort revoke",
        "update change edit modify move switch correct set replace adjust fix rename",
        "reschedule move shift postpone delay",
        "share grant give send access",
        "reserve book reservation booking",
        "pay transfer send wire payment",
        "refund reimburse return repay reimbursement",
        "invite add join onboard invitation",
        "reset unlock recover restore forgot forgotten lost",
        "upgrade downgrade change switch move",
        "buy order purchase",
        "close resolve finish complete",
        "import migrate upload move bring transfer",
        "apply give credit grant",
        "exchange swap replace change",
    )
)
_THINGS: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(words.split())
    for words in (
        "email mail message e-mail letter",
        "event appointment meeting calendar reminder invitation lunch dinner",
        "file document doc docx spreadsheet list note paper drive",
        "message dm direct text chat reply question",
        "channel group room",
        "user member person colleague people employee teammate",
        "hotel room stay accommodation reservation",
        "restaurant table reservation",
        "car rental vehicle",
        "webpage website page site web",
        "payment charge money amount sum purchase",
        "plan subscription tier",
        "ticket incident issue problem bug case",
        "workspace space team project account",
        "participant attendee guest invitee people",
        "session call demo training appointment walkthrough meeting",
        "credential password login account factor token",
        "order purchase item product",
        "address street home",
    )
)
_SUFFIXES: Final = ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "ed", "es", "er", "s")
_SHORTEST_STEM: Final = 3


def asks_for(
    texts: Iterable[str], *, tool: str, asked_by: Iterable[str] = (), names_target: bool = False
) -> bool:
    """Tell whether the texts ask for a tool, by its name's words or by the author's phrases.

    A name's verb must be asked for, in its own words or in common others, and one of the things
    that it names as well; `names_target`, that the request names whom or what the call is about,
    stands in for the thing. A phrase of `asked_by` counts where all of its words occur.
    """
    asked = frozenset(stem for text in texts for stem in _stems(text))
    if any(_stems(phrase) <= asked for phrase in asked_by if phrase.strip()):
        return True
    verb, *things = _words(tool)
    if not _any_of(verb, _SAME, asked):
        return False
    return names_target or not things or any(_any_of(each, _THINGS, asked) for each in things)


def _any_of(word: str, same: Iterable[frozenset[str]], asked: frozenset[str]) -> bool:
    alike = {word}.union(*(group for group in same if word in group))
    return any(_stem(each) in asked for each in alike)


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in _WORD.findall(spaced)] or [name.lower()]


@lru_cache(maxsize=4096)
def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _WORD.findall(text.casefold()))


def _stem(word: str) -> str:
    """Cut common English endings off, so that `booking` and `books` meet."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            word = word[: -len(suffix)]
            break
    return word.rstrip("e") if len(word) > _SHORTEST_STEM else word
