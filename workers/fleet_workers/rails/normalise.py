"""Takes out of a text what a person would not see, and says in plain words what it was."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_CHARACTERS: Final = 50_000
"""About 12,000 tokens: longer than any request that a person writes, in reach of small models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """A text as a person sees it. `removed` names, without doubles, what was taken out of it."""

    text: str
    removed: tuple[str, ...]

    @property
    def hidden(self) -> tuple[str, ...]:
        """What of the removed an ordinary text does not hold."""
        return tuple(each for each in self.removed if each not in _HARMLESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a character stands: the kept one before it, the next one, and the text's direction."""

    before: str
    after: str
    right_to_left: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hidden:
    """Characters without a look of their own, where they belong, and what replaces them if not."""

    words: str
    members: str
    belongs: Callable[[_Place], bool] = lambda _: False
    replaced: Callable[[str], str] = lambda _: ""


def normalise(text: str) -> Normalised:
    """The text in Unicode's form NFC without what only a machine would read.

    Emoji, line ends, tabs, and the joiners and direction marks of the scripts that need them
    stay, so an ordinary text of any language comes back as it is. Letters from mathematical
    alphabets become plain letters, a broken half of a character becomes U+FFFD. Wide forms
    stay: Chinese and Japanese write with them.
    """
    removed: dict[str, None] = {}
    shorter = _TERMINAL_CODE.sub("", text)
    if shorter != text:
        removed["terminal codes"] = None
    if _ANY.search(shorter):
        shorter = "".join(_kept(shorter, removed))
    return Normalised(text=unicodedata.normalize("NFC", shorter), removed=tuple(removed))


def refusal_for_size(text: str, *, limit: int = MAX_CHARACTERS) -> str | None:
    """Why a text of more than `limit` characters is not read; None for a shorter one."""
    if len(text) <= limit:
        return None
    return (
        f"The text has {len(text):,} characters, and at most {limit:,} are read: "
        "shorten it, or send its parts as requests of their own."
    )


def _kept(text: str, removed: dict[str, None]) -> Iterator[str]:
    right_to_left = any(unicodedata.bidirectional(each) in {"R", "AL"} for each in text)
    flags = {at for flag in _FLAG.finditer(text) for at in range(*flag.span())}
    before = ""
    for at, each in enumerate(text):
        kept = each
        if at not in flags and (found := _LOOK_AT.match(each)):
            kind = _KINDS[(found.lastindex or 1) - 1]
            place = _Place(before=before, after=text[at + 1 : at + 2], right_to_left=right_to_left)
            if not kind.belongs(place):
                kept = kind.replaced(each)
                removed[kind.words] = None
        if kept:
            before = kept
            yield kept


def _joins(place: _Place) -> bool:
    """Whether the letter before belongs to a script whose letters change when joined."""
    letter = _category(place.before)[:1] in {"L", "M"} and place.before not in _SELECTED
    return letter and _script(place.before) not in _JOINED_NOWHERE


def _joins_or_makes_emoji(place: _Place) -> bool:
    of_emoji = _category(place.before) in {"So", "Sk"} or place.before in _SELECTED
    return _joins(place) or (of_emoji and _category(place.after) in {"So", "Sm"})


def _parts_words(place: _Place) -> bool:
    return not _WITHOUT_SPACES.isdisjoint({_script(place.before), _script(place.after)})


def _turns_to_picture(place: _Place) -> bool:
    return place.before in _PICTURED or _category(place.before)[:1] in {"S", "P", "N"}


def _varies(place: _Place) -> bool:
    varied = {"CJK", "MYANMAR", "PHAGS"}
    return _script(place.before) in varied or _category(place.before) == "Sm"


def _keeps_marks_apart(place: _Place) -> bool:
    return _category(place.before) == "Mn" and _script(place.before) != "COMBINING"


def _category(each: str) -> str:
    return unicodedata.category(each) if each else ""


@lru_cache(maxsize=4096)
def _script(each: str) -> str:
    """The first word of the character's name in Unicode, as ARABIC or LATIN."""
    return unicodedata.name(each, "").split(" ")[0].split("-")[0] if each else ""


_SELECTED: Final = {"\ufe0e", "\ufe0f"}
_PICTURED: Final = {"\u2139"}  # the only letter that has a picture
_JOINED_NOWHERE: Final = {
    *("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "CJK", "HIRAGANA", "KATAKANA"),
    *("HANGUL", "BOPOMOFO", "FULLWIDTH", "HALFWIDTH", "MODIFIER", "COMBINING", "FEMININE"),
    *("MASCULINE", "MICRO", "KELVIN", "ANGSTROM", "SCRIPT", "DOUBLE", "BLACK"),
}
_WITHOUT_SPACES: Final = {"THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE", "BALINESE"}

_ORDER_MARK: Final = _Hidden(words="byte order marks", members="\ufeff")
_HYPHENS: Final = _Hidden(words="soft hyphens", members="\xad")
_ALPHABETS: Final = _Hidden(
    words="letters from mathematical alphabets",
    members="\U0001d400-\U0001d7ff",
    replaced=lambda each: unicodedata.normalize("NFKC", each),
)
_HARMLESS: Final = {_ORDER_MARK.words, _HYPHENS.words, _ALPHABETS.words}
_ZERO_WIDTH: Final = "zero-width characters"
_VARIATION: Final = "variation selectors that vary nothing"
_DIRECTION: Final = "characters that change the direction of the text"
_CONTROLS: Final = "control characters"
_KINDS: Final = (
    _ORDER_MARK,
    _HYPHENS,
    _ALPHABETS,
    _Hidden(words=_CONTROLS, members="\x0b\x0c\x85", replaced=lambda _: "\n"),
    _Hidden(words=_CONTROLS, members="\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"),
    _Hidden(words=_DIRECTION, members="\u202d\u202e"),
    _Hidden(
        words=_DIRECTION,
        members="\u061c\u200e\u200f\u202a-\u202c\u2066-\u2069",
        belongs=lambda place: place.right_to_left,
    ),
    _Hidden(words=_ZERO_WIDTH, members="\u200b", belongs=_parts_words),
    _Hidden(words=_ZERO_WIDTH, members="\u200c", belongs=_joins),
    _Hidden(words=_ZERO_WIDTH, members="\u200d", belongs=_joins_or_makes_emoji),
    _Hidden(words=_ZERO_WIDTH, members="\u034f", belongs=_keeps_marks_apart),
    _Hidden(
        words=_ZERO_WIDTH,
        members="\u3164\uffa0",
        belongs=lambda place: "HANGUL" in {_script(place.before), _script(place.after)},
    ),
    _Hidden(words=_ZERO_WIDTH, members="\u2060-\u2065\u206a-\u206f\ufff0-\ufffb"),
    _Hidden(
        words=_VARIATION,
        members="\u180b-\u180f",
        belongs=lambda place: _script(place.before) == "MONGOLIAN",
    ),
    _Hidden(words=_VARIATION, members="\ufe0e\ufe0f", belongs=_turns_to_picture),
    _Hidden(words=_VARIATION, members="\ufe00-\ufe0d", belongs=_varies),
    _Hidden(
        words=_VARIATION,
        members="\U000e0100-\U000e01ef",
        belongs=lambda place: _script(place.before) == "CJK",
    ),
    _Hidden(words="invisible tag characters", members="\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"),
    _Hidden(words="private-use characters", members="\ue000-\uf8ff\U000f0000-\U0010ffff"),
    _Hidden(
        words="broken characters",
        members="\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff",
        replaced=lambda _: "\ufffd",
    ),
)
_LOOK_AT: Final = re.compile("|".join(f"([{kind.members}])" for kind in _KINDS))
_ANY: Final = re.compile(f"[{''.join(kind.members for kind in _KINDS)}]")  # 20 times as fast
_TERMINAL_CODE: Final = re.compile(r"(?:\x1b\[|\x9b)[0-9;?]*[ -/]*[@-~]")
_REGIONS: Final = ("gbeng", "gbsct", "gbwls")  # the flags that are written with tags
_FLAG: Final = re.compile(
    "\U0001f3f4(?:"
    + "|".join("".join(chr(0xE0000 + ord(letter)) for letter in each) for each in _REGIONS)
    + ")\U000e007f"
)
