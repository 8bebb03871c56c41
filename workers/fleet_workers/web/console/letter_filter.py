"""Reads which dead letters a page or a form is about."""

from collections.abc import Mapping

from fleet_workers.store.accounts import KeyHolder
from fleet_workers.store.dead_letters import DeadLetterFilter
from fleet_workers.web.letters import filter_of

_FIELDS = ("agent", "reason", "cause", "error")
_MAX_TEXT = 500


def filter_from(said: Mapping[str, str], holder: KeyHolder) -> DeadLetterFilter:
    """The filter in a page's address or a form's fields, no wider than its holder may see.

    What is empty does not matter. NUL, which no letter holds, is shown as U+2400.

    Raises:
        Forbidden: It names another tenant than the holder's.
    """
    texts = {name: _text(said.get(name)) for name in (*_FIELDS, "tenant")}
    given = {name: text for name, text in texts.items() if text}
    return filter_of(holder, DeadLetterFilter.model_validate(given))


def filter_values(wanted: DeadLetterFilter, holder: KeyHolder) -> dict[str, str]:
    """The same as the fields of a form. A tenant's own holder has no field for the tenant."""
    names = (*_FIELDS, "tenant") if holder.sees is None else _FIELDS
    return {name: getattr(wanted, name) or "" for name in names}


def _text(value: str | None) -> str:
    clean = (value or "").replace("\0", "\u2400").encode("utf-8", "replace").decode()
    return clean.strip()[:_MAX_TEXT]
