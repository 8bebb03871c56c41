"""Splits a message into wishes: what is asked for, in which mood, and which tool fits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fleet_workers.embedded.offline_model.language import (
    is_misspelling,
    same_meaning,
    stem,
    stems,
    words,
)
from fleet_workers.embedded.offline_model.ranking import Ranked, ToolIndex
from fleet_workers.embedded.offline_model.schemas import ToolSpec
from fleet_workers.embedded.offline_model.texts import is_query
from fleet_workers.embedded.offline_model.vocabulary import READ_VERBS, WRITE_VERBS

THRESHOLD: Final = 0.36
"""Strength below which a tool is not thought to be meant."""
_MAX_WISHES: Final = 4
_CONTEXT_SHARE: Final = 0.35
_ASKED_BONUS: Final = 0.25
_QUESTION_FACTOR: Final = 0.7
"""A question may be answered by a weaker match: looking something up does no harm."""
_UNASKED_FACTOR: Final = 0.6
_ONE_WORD_FACTOR: Final = 0.7
"""A tool found by a single word is a weaker guess than its score says."""
_VERB: Final = "|".join(sorted(WRITE_VERBS | READ_VERBS | {"tell", "help", "give", "resend"}))
_SPLIT: Final = re.compile(
    r"[.!?;]+(?=\s|$)|\n+|,?\s+(?:and also|and then|also|plus|as well as|after that)\s+"
    rf"|,?\s+(?:and|then|but)\s+(?=(?:please|can|could|would|i|how|what|where|why|my|{_VERB})\b)"
    rf"|,\s+(?=(?:please|can you|could you|how|what|why|i want|i need|i'd like|then|{_VERB})\b)",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(
    r"^(?:so |but |and |hi |hello |hey |also |\W)*(?:how|why|when|what|whats|where|wheres|which|"
    r"who|is|are|was|were|did|do|does|has|have|will|am|should)\b"
)
_REQUEST: Final = re.compile(
    r"\b(?:please|can you|could you|would you|will you|can i|could i|may i|can we|could we|i want|"
    r"we want|i need|we need|id like|i would like|would like|wed like|i wish|need to|want to|"
    r"have to|help me|let me|lets|go ahead|i demand|give me|make sure|i insist|must)\b"
)
_HOW: Final = re.compile(
    r"\bhow (?:do|can|would|to|should|does|could|long|much|many)\b"
    r"|\bwhat happens\b|\bis it possible\b"
    r"|\b(?:want|like|need) to (?:know|understand|learn)\b"
)
_HOW_TO: Final = re.compile(r"\bhow (?:do|can|would|to|should|could) |\bhow does\b")
_REFUSED: Final = re.compile(
    r"\b(?:dont|do not|not|never|instead of|without|stop trying to|rather than)\b"
)


class Mood(Enum):
    """How a clause speaks: it asks to know, asks to do, or tells."""

    QUESTION = "question"
    REQUEST = "request"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A part of a message and the tool that fits it. `margin` is the lead over the next tool.

    `offered` marks a write that the words suggest without asking for it.
    """

    text: str
    spec: ToolSpec
    strength: float
    margin: float
    offered: bool = False


def clauses(text: str) -> list[str]:
    """The clauses of a message, in order; addresses and numbers stay whole."""
    return [part.strip(" ,") for part in _SPLIT.split(text) if part and part.strip(" ,.!?")][:60]


def mood(clause: str, *, questioned: bool) -> Mood:
    """The mood of a clause; `questioned` says that a question mark ends it."""
    plain = " ".join(words(clause))
    if _HOW.search(plain) or _QUESTION.search(plain):
        return Mood.QUESTION
    opening = words(clause)[:1]
    if _REQUEST.search(plain) or any(word in WRITE_VERBS for word in opening):
        return Mood.REQUEST
    if opening and opening[0] in READ_VERBS:
        return Mood.REQUEST
    return Mood.QUESTION if questioned else Mood.STATEMENT


def asks_how(text: str) -> bool:
    """Tell whether a text asks how to do something, or what would happen."""
    return _HOW_TO.search(" ".join(words(text))) is not None


def find_wishes(text: str, index: ToolIndex) -> list[Wish]:
    """The wishes of a message in its order, at most four, each with its tool.

    A tool that writes is taken only where a clause clearly asks for its action; elsewhere the
    best reading tool is taken, and where there is none the write is marked as offered.
    """
    whole = {each.position: each.strength for each in index.rank(stems(text))}
    found: list[tuple[Mood, Wish]] = []
    for clause in clauses(text):
        questioned = _ends_in_question(text, clause)
        clause_mood = mood(clause, questioned=questioned)
        if (wish := _wish(clause, clause_mood, index, whole)) is not None:
            found.append((clause_mood, wish))
    asked = [wish for clause_mood, wish in found if clause_mood is not Mood.STATEMENT]
    chosen = asked or [wish for _, wish in found]
    if not chosen:
        overall = _wish(text, mood(text, questioned="?" in text), index, {})
        return [overall] if overall else []
    if not asked:
        chosen = [max(chosen, key=lambda wish: wish.strength)]
    return _merge(chosen)


def search_wish(text: str, index: ToolIndex) -> Wish | None:
    """For a question about how to do something that fits no tool: a search with its words.

    The weakest of wishes; None where the text is no such question, shares no word with the
    tools, or no tool searches by free text.
    """
    if not asks_how(text) or not any(index.knows(term) for term in stems(text)):
        return None
    for spec in index.specs:
        wanted = spec.required
        if not spec.writes and len(wanted) == 1 and is_query(wanted[0]):
            return Wish(text=text, spec=spec, strength=0.0, margin=0.0)
    return None


def _merge(found: Sequence[Wish]) -> list[Wish]:
    best = max(wish.strength for wish in found)
    merged: dict[str, Wish] = {}
    for wish in found:
        if wish.strength < 0.45 * best:
            continue
        known = merged.get(wish.spec.name)
        if known is None:
            merged[wish.spec.name] = wish
        else:
            stronger = max(known, wish, key=lambda each: each.strength)
            merged[wish.spec.name] = Wish(
                text=f"{known.text}. {wish.text}",
                spec=wish.spec,
                strength=stronger.strength,
                margin=stronger.margin,
                offered=known.offered and wish.offered,
            )
    firm = [wish for wish in merged.values() if not wish.offered]
    return (firm or list(merged.values()))[:_MAX_WISHES]


def _ends_in_question(text: str, clause: str) -> bool:
    at = text.find(clause)
    rest = text[at + len(clause) :] if at >= 0 else ""
    return bool(re.match(r"[^.!;\n?]*\?", rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A tool for a clause. `allowed` is false for a write that nobody asked for."""

    score: float
    allowed: bool
    ranked: Ranked


def _wish(clause: str, clause_mood: Mood, index: ToolIndex, whole: dict[int, float]) -> Wish | None:
    eased = _QUESTION_FACTOR if clause_mood is Mood.QUESTION else 1.0
    candidates: list[_Candidate] = []
    weak: list[_Candidate] = []
    for ranked in index.rank(stems(clause)):
        if not ranked.matched:
            continue
        score = ranked.strength + _CONTEXT_SHARE * whole.get(ranked.position, 0.0)
        spec = index.specs[ranked.position]
        consent = _asks_for(spec, clause, clause_mood) if spec.writes else Consent.GIVEN
        if consent is Consent.REFUSED:
            continue
        if spec.writes:
            score = score + _ASKED_BONUS if consent is Consent.GIVEN else score * _UNASKED_FACTOR
        candidate = _Candidate(score=score, allowed=consent is Consent.GIVEN, ranked=ranked)
        if candidate.score >= THRESHOLD * (eased if candidate.allowed else 1.0):
            candidates.append(candidate)
        elif candidate.allowed:
            weak.append(candidate)
    if not candidates:
        return None
    candidates.sort(key=lambda each: (-each.score, each.ranked.position))
    allowed = [
        each for each in candidates if each.allowed and each.score >= 0.5 * candidates[0].score
    ]
    if not allowed and clause_mood is Mood.QUESTION:
        allowed = [each for each in weak if each.score >= 0.5 * candidates[0].score]
    best = (allowed or candidates)[0]
    rival = next(
        (each.score for each in candidates if each is not best and each.allowed >= best.allowed),
        0.0,
    )
    return Wish(
        text=clause,
        spec=index.specs[best.ranked.position],
        strength=best.score * (_ONE_WORD_FACTOR if len(best.ranked.matched) == 1 else 1.0),
        margin=max(0.0, best.score - rival),
        offered=not best.allowed,
    )


class Consent(Enum):
    """Whether a clause asks for what a writing tool does."""

    GIVEN = "given"
    UNSAID = "unsaid"
    REFUSED = "refused"


def _asks_for(spec: ToolSpec, clause: str, clause_mood: Mood) -> Consent:
    """Tell whether a clause asks, beyond doubt, for what a writing tool does."""
    plain = " ".join(words(clause))
    found = [stem(word) for word in words(clause)]
    at = next(
        (
            position
            for position, said in enumerate(found)
            if any(_means(said, action) for action in spec.action_stems)
        ),
        None,
    )
    if at is None:
        return Consent.UNSAID
    refused = _REFUSED.search(plain)
    if refused is not None and len(words(plain[: refused.start()])) <= at:
        return Consent.REFUSED
    return Consent.GIVEN if clause_mood is Mood.REQUEST else Consent.UNSAID


def _means(said: str, action: str) -> bool:
    return same_meaning(action, said) or is_misspelling(said, action)
