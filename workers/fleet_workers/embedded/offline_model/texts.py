"""Takes words from a text for an argument: queries, descriptions, names and named values."""

import re
from typing import Final

from fleet_workers.embedded.offline_model import values
from fleet_workers.embedded.offline_model.language import stem, words
from fleet_workers.embedded.offline_model.schemas import Parameter
from fleet_workers.embedded.offline_model.vocabulary import STOP_WORDS

_QUERY_WORDS: Final = frozenset(
    [
        "query",
        "question",
        "search",
        "text",
        "q",
        "topic",
        "keywords",
        "keyword",
        "term",
        "terms",
        "prompt",
        "symptom",
        "symptoms",
    ]
)
_TELLING_WORDS: Final = frozenset(
    [
        "description",
        "reason",
        "details",
        "detail",
        "message",
        "note",
        "notes",
        "comment",
        "comments",
        "body",
        "content",
        "explanation",
        "problem",
        "issue",
        "complaint",
        "feedback",
        "request",
        "remark",
        "remarks",
        "context",
        "justification",
    ]
)
_TITLE_WORDS: Final = frozenset({"title", "subject", "summary", "headline", "topic"})
_NAMING_WORDS: Final = frozenset({"name", "label", "called"})
_TITLE_LENGTH: Final = 80
_QUERY_LENGTH: Final = 300
_EXAMPLES: Final = re.compile(
    r"\b(?:such as|e\.g\.|for example|like|one of|examples?:?|either)\s+(.+)", re.IGNORECASE
)


def is_free_text(parameter: Parameter) -> bool:
    """Whether an argument takes the customer's own words."""
    named = set(parameter.words)
    free = _QUERY_WORDS | _TELLING_WORDS | _TITLE_WORDS
    return parameter.type == "string" and bool(named & free) and not parameter.is_identifier


def is_query(parameter: Parameter) -> bool:
    """Whether an argument takes words to search for."""
    return is_free_text(parameter) and bool(set(parameter.words) & _QUERY_WORDS)


def words_for(parameter: Parameter, text: str) -> str:
    """The customer's words as a query, a description or a title, cut to the length allowed."""
    named = set(parameter.words)
    plain = re.sub(r"\s+", " ", text).strip()
    limit = parameter.schema.get("maxLength")
    limit = limit if isinstance(limit, int) and limit > 0 else 2_000
    if named & _TITLE_WORDS:
        plain = re.split(r"(?<=[.!?])\s", plain)[0]
        limit = min(limit, _TITLE_LENGTH)
    elif named & _QUERY_WORDS:
        limit = min(limit, _QUERY_LENGTH)
    if len(plain) <= limit:
        return plain
    shortened = plain[:limit]
    return shortened.rsplit(" ", 1)[0] if " " in shortened else shortened


def named_value(parameter: Parameter, text: str) -> list[str]:
    """Values that a text gives for a plain string argument, the likeliest first."""
    found = _after_the_name(parameter, text)
    found += _examples_said(parameter, text)
    if set(parameter.words) & _NAMING_WORDS:
        found += values.given_names(text) + _after_the_entity(parameter, text)
    if parameter.required and not found:
        found += values.quoted(text) + values.capitalised(text)
    return [value for value in dict.fromkeys(found) if value]


def _after_the_name(parameter: Parameter, text: str) -> list[str]:
    name = r"[ _-]?".join(re.escape(word) for word in parameter.words)
    pattern = rf"\b{name}\b\s*(?:is|:|=|to be|will be|should be)\s*[\"'“]?([\w@][\w@&.+'-]*)"
    found = [value.strip(".'") for value in re.findall(pattern, text, re.IGNORECASE)]
    return [value for value in found if value.lower() not in STOP_WORDS]


def _after_the_entity(parameter: Parameter, text: str) -> list[str]:
    kinds = [word for word in parameter.words if word not in _NAMING_WORDS]
    found = []
    for kind in kinds:
        found += re.findall(
            rf"\b{re.escape(kind)}\s+([A-Z0-9][\w&'-]*(?: [A-Z0-9][\w&'-]*)*)", text
        )
    return found


def _examples_said(parameter: Parameter, text: str) -> list[str]:
    """Values that the description gives as examples and that stand in the text."""
    examples = _EXAMPLES.search(parameter.description)
    if examples is None:
        return []
    said = {stem(word) for word in words(text)}
    offered = re.split(r"[,;/]|\bor\b|\band\b", examples[1])
    return [
        example.strip(" .'\"()`")
        for example in offered
        if (wanted := [stem(word) for word in words(example)])
        and all(word in said for word in wanted)
    ]
