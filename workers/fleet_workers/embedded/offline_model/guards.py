"""Says why a request must go to a person before any tool is thought of."""

# ruff: noqa: PLR2004 - lengths and weights of single rules read best where they are used

import re
import unicodedata
from typing import Final

from fleet_workers.embedded.offline_model import values
from fleet_workers.embedded.offline_model.conversation import Conversation
from fleet_workers.embedded.offline_model.language import stems, words
from fleet_workers.embedded.offline_model.ranking import TermIndex, line_index
from fleet_workers.embedded.offline_model.vocabulary import FOREIGN_WORDS, FUNCTION_WORDS

_INJECTION: Final = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instruction|rule|prompt|guideline|"
    r"polic(?:y|ies)|restriction|everything above|previous message|safety|polic)"
    r"|\bsystem (?:prompt|message|override)\b|\b(?:developer|debug|admin|god|"
    r"maintenance|sudo|dan) mode\b"
    r"|\byou are now\b|\bact as (?:an? )?(?:admin|root|system|developer|unrestricted|supervisor)"
    r"|\bpretend (?:to be|you are|that you)\b|\bjailbreak|\bnew instructions?\s*:"
    r"|\b(?:reveal|print|show|repeat) (?:me )?(?:your|the) (?:\w+ )?(?:prompt|instructions)\b"
    r"|<\s*/?\s*(?:system|assistant|tool)\s*>|^[ \t]*(?:system|assistant)[ \t]*:|\[/?INST\]|<\|",
    re.IGNORECASE | re.MULTILINE,
)
_PRIVATE: Final = (
    r"accounts?|invoices?|bills?|payments?|subscriptions?|plan|password|login|credentials?|data|"
    r"balance|history|orders?|cards?|records?|loans?|profile|transactions?|address|contract|files?|"
    r"bookings?|reservations?|workspaces?|refund|charges?|purchases?"
)
_OTHERS: Final = (
    r"(?:colleague|coworker|co-worker|friend|wife|husband|boss|manager|neighbou?r|brother|sister|"
    r"mother|father|mom|mum|dad|son|daughter|partner|roommate|girlfriend|boyfriend|ex|competitor|"
    r"client|customer|company|person|someone|somebody|user)"
)
_STRANGERS: Final = (
    r"(?:friend|wife|husband|neighbou?r|brother|sister|mother|father|mom|mum|dad|partner|roommate|"
    r"competitor|someone else|somebody else|another (?:company|customer|client))"
)
_NAMED_OWNER: Final = re.compile(
    r"\b(?:accounts?|invoices?|passwords?|workspaces?|data|subscription|login)\s+(?:of|from)\s+"
    r"(?:the \w+ (?:at|of|from) )?(?-i:[A-Z][a-z]+ [A-Z][A-Za-z]+)",
    re.IGNORECASE,
)
"""Somebody's account by the owner's name. It may be the customer's own: a person can tell."""
_SOMEBODY_ELSE: Final = re.compile(
    rf"\b{_OTHERS}(?:['\u2019]s|s['\u2019])\s+(?:\w+\s+){{0,2}}(?:{_PRIVATE})\b"
    rf"|\b(?:someone|somebody|anyone|anybody) else['\u2019]?s?\s+(?:\w+\s+){{0,2}}(?:{_PRIVATE})\b"
    rf"|\b(?:other|another|different|all) (?:the )?(?:other )?(?:customer|client|person|"
    rf"people|compan(?:y|ies)|user|tenant|organi[sz]ation|account holder)"
    rf"(?:['\u2019]s|s['\u2019]|s)?\s+(?:\w+\s+){{0,2}}(?:{_PRIVATE})\b"
    rf"|\b(?:{_PRIVATE})\s+(?:of|for|belonging to|from)\s+(?:my|our|the|an?|some)?\s*"
    rf"(?:other|another|different|all)\s+"
    rf"(?:customer|client|person|people|compan(?:y|ies)|user|tenant)s?\b"
    rf"|\b{_STRANGERS}\b.{{0,80}}\b(?:their|his|her)\s+(?:{_PRIVATE})\b"
    rf"|\b(?:account|password|subscription|invoices?)\s+(?:of|belonging to)\s+my\s+{_OTHERS}\b"
    rf"|\bon behalf of (?:another|a different) ",
    re.IGNORECASE,
)
_ENGLISH_SHARE = 0.12
_LATIN_SHARE = 0.6


def reason_to_hand_over(conversation: Conversation, tools: TermIndex) -> str | None:
    """The reason, in plain words, for which no tool may be called; None where there is none."""
    text = conversation.wish
    if _INJECTION.search(text):
        return "The message tries to give me instructions that are not the customer's to give."
    if _SOMEBODY_ELSE.search(text) or _NAMED_OWNER.search(text):
        return "The message is about somebody else's account or data."
    if (other := _other_customer(conversation)) is not None:
        return f"The message names {other}, who is not the customer I am serving."
    if unreadable := _unreadable(text, tools):
        return unreadable
    return _forbidden(conversation, tools)


def _other_customer(conversation: Conversation) -> str | None:
    own = conversation.customer
    if own is None or not any(letter.isdigit() for letter in own):
        return None
    shape = _shape(own)
    if shape is None:
        return None
    for found in values.identifiers(conversation.wish):
        if _shape(found.lstrip("#")) == shape and found.lstrip("#").lower() != own.lower():
            return found
    return None


def _shape(identifier: str) -> str | None:
    letters = re.match(r"[A-Za-z_-]*[A-Za-z]", identifier)
    return letters[0].lower() if letters else None


def _unreadable(text: str, tools: TermIndex) -> str | None:
    letters = [letter for letter in text if letter.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if letters and latin / len(letters) < _LATIN_SHARE:
        return "The message is written in a language that I do not read."
    found = words(text)
    english = sum(word in FUNCTION_WORDS for word in found)
    foreign = sum(word in FOREIGN_WORDS for word in found)
    if foreign > english and foreign >= 2:
        return "The message seems to be in a language other than English."
    content = list(dict.fromkeys(stems(text)))
    known = sum(tools.knows(term) for term in content)
    if len(found) >= 4 and english / len(found) < _ENGLISH_SHARE and known * 4 < len(content):
        return "I cannot make out what the message asks for."
    return None


def _forbidden(conversation: Conversation, tools: TermIndex) -> str | None:
    """The never-line that says better than any tool or handled line what is asked for."""
    if not conversation.never:
        return None
    said = stems(conversation.wish)
    never = line_index([_without_not(line) for line in conversation.never])
    handles = line_index(conversation.handles)
    best = next(iter(never.rank(said)), None)
    if best is None or not best.matched:
        return None
    line = conversation.never[best.position]
    line_terms = set(stems(_without_not(line)))
    others = [*tools.rank(said)[:1], *handles.rank(said)[:1]]
    explained = frozenset[str]().union(*(other.matched for other in others))
    distinct = best.matched - explained
    share = len(best.matched) / max(len(line_terms), 1)
    strongest = max((other.strength for other in others), default=0.0)
    enough = len(best.matched) > 1 or len(line_terms) <= 2
    if distinct and enough and share >= 0.3 and best.strength > 0.8 * strongest:
        return f"This is something that I must not do: {line.rstrip('.')}."
    return None


def _without_not(line: str) -> str:
    return re.sub(r"^(?:never|do not|don't|must not|not)\b", "", line, flags=re.IGNORECASE)
