"""Takes out of spans what libraries note about errors and addresses: words may be a customer's."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status

_WORDS: Final = frozenset({"exception.message", "exception.stacktrace"})
_QUERY: Final = "url.query"


def scrubbed(span: ReadableSpan) -> ReadableSpan:
    """The span without words of errors and without queries of URLs; itself where it has none."""
    attributes: Mapping[str, Any] = span.attributes or {}
    has_words = any(_WORDS & (event.attributes or {}).keys() for event in span.events)
    if not has_words and not span.status.description and _QUERY not in attributes:
        return span
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in attributes.items() if name != _QUERY},
        events=[_scrubbed(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _scrubbed(event: Event) -> Event:
    kept = {name: each for name, each in (event.attributes or {}).items() if name not in _WORDS}
    return Event(event.name, kept, event.timestamp)
