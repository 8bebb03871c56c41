"""Looks at a request for signs of manipulation. A sign lowers trust; it never refuses by itself."""

import re
import unicodedata
from typing import Final

_SIGNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "asks to set instructions aside",
        re.compile(
            r"\b(ignore|disregard|forget|override)\b.{0,40}"
            r"\b(instruction|rule|prompt|polic|guideline|above|previous)",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        "asks for the prompt",
        re.compile(
            r"\b(reveal|print|show|repeat|output)\b.{0,30}\b(system|hidden|initial)\b.{0,15}prompt",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        "claims another role",
        re.compile(
            r"\b(you are now|act as|pretend to be)\b.{0,40}"
            r"\b(admin|root|developer|unrestricted|dan)\b|\bdeveloper mode\b",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    (
        "imitates the conversation's markup",
        re.compile(
            r"<\|?(im_start|system|assistant)\|?>|\[/?INST\]|^\s*(system|assistant):",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
)
_HIDDEN: Final = {"Cf", "Co"}
_JOINERS: Final = {"\u200c", "\u200d", "\ufe0f"}  # ordinary in several scripts and in emoji


def inbound_signals(text: str) -> list[str]:
    """The signs found, each in plain words; empty for an ordinary request."""
    plain = unicodedata.normalize("NFKC", text)
    found = [meaning for meaning, pattern in _SIGNS if pattern.search(plain)]
    if any(unicodedata.category(c) in _HIDDEN and c not in _JOINERS for c in text):
        found.append("contains hidden characters")
    return found
