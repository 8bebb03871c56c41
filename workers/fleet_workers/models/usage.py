"""Reads how many tokens a reply took; what makes no sense counts as not told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST_TOKENS = 10**9  # no context is as long; a larger number is a fault of the endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens of a call. `cached` are those of `prompt` that a prefix cache gave."""

    prompt: int
    completion: int
    cached: int = 0


def read_usage(told: object) -> TokenUsage | None:
    """The `usage` of a chat completion or of a response, or None where it tells nothing usable."""
    if not isinstance(told, Mapping):
        return None
    prompt = _first(told, "prompt_tokens", "input_tokens")
    completion = _first(told, "completion_tokens", "output_tokens")
    if prompt is None or completion is None:
        return None
    return TokenUsage(prompt=prompt, completion=completion, cached=min(_cached(told), prompt))


def _cached(told: Mapping[str, Any]) -> int:
    for name in ("prompt_tokens_details", "input_tokens_details"):
        details = told.get(name)
        if isinstance(details, Mapping):
            return _first(details, "cached_tokens") or 0
    return _first(told, "prompt_cache_hit_tokens") or 0


def _first(told: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = told.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
            return value
    return None
