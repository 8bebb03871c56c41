"""Looks at a request for signs of manipulation. A sign lowers trust; it never refuses by itself."""

import re
import unicodedata
from typing import Any, Final

from fleet_workers.rails.injection import SUSPICIOUS_FROM, injection_score
from fleet_workers.rails.normalise import normalise
from fleet_workers.rails.personal_data import Masker

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
    (
        "hides text in markup",
        re.compile(
            # Outlook's conditions and the rules of styles are ordinary; sentences are not.
            r"<!--(?!\s*\[if)(?=[^<>{}]*?[^\W\d_]+\s+[^\W\d_]+\s+[^\W\d_]+)"
            r"|\bstyle\s*=\s*[\"'][^\"'>]{0,200}"
            r"(display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])"
            r"|opacity\s*:\s*0(?![.\d]))"
            r"|<[a-z][^<>]{0,200}\shidden(?=[\s>=])|^\[(//|comment)\]:\s*[#<]",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
)


def inbound_verdict(text: str) -> dict[str, Any]:
    """What was found in a request, as it is kept: never the values themselves.

    `signals` speak of manipulation, `removed` names what no person would have seen, `personal`
    counts personal data by kind.
    """
    normalised = normalise(text)
    masker = Masker()
    masker.mask(normalised.text)
    return {
        "signals": inbound_signals(text),
        "removed": list(normalised.removed),
        "personal": {kind.value: count for kind, count in masker.found.items()},
    }


def inbound_signals(text: str) -> list[str]:
    """The signs found, each in plain words; empty for an ordinary request."""
    normalised = normalise(text)
    plain = unicodedata.normalize("NFKC", normalised.text)
    found = [meaning for meaning, pattern in _SIGNS if pattern.search(plain)]
    found += [f"contains {hidden}" for hidden in normalised.hidden]
    score = injection_score(text)
    if score >= SUSPICIOUS_FROM:
        found.append(f"reads like an injected instruction (score {score:.2f})")
    return found
