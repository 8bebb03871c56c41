"""Checks of the models' endpoints: reachable, our key taken, the models there, prices known."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2

from fleet_workers.doctor.finding import Check, Finding, failed, ok, warning
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.configuration import addresses_of, candidates_of
from fleet_workers.models.endpoint import Address
from fleet_workers.models.prices import OLD_AFTER, load_prices
from fleet_workers.models.standing import distinct
from fleet_workers.settings import Settings

_PATIENCE_SECONDS = 4.0
_OWN_URL = "https://api.openai.com/v1"
_REFUSED = (401, 403)


def model_checks(settings: Settings) -> list[Check]:
    """The checks; nothing that they ask costs anything. `fleetctl models --probe` asks for more."""
    return [
        Check(group="models", name="endpoint", look=lambda: _endpoints(settings)),
        Check(group="models", name="prices", look=lambda: _prices(settings)),
    ]


def _endpoints(settings: Settings) -> Iterator[Finding]:
    wanted = distinct(candidates_of(settings))
    for address in addresses_of(settings):
        names = [each.model for each in wanted if each.endpoint == address.name]
        yield from _endpoint(address, names)


def _endpoint(address: Address, names: Sequence[str]) -> Iterator[Finding]:
    url = (address.base_url or _OWN_URL).rstrip("/")
    try:
        answer = httpx2.get(
            f"{url}/models",
            headers={"Authorization": f"Bearer {address.api_key}"},
            timeout=_PATIENCE_SECONDS,
        )
    except httpx2.HTTPError as error:
        yield failed(
            f"{url} does not answer: {error or type(error).__name__}.",
            "Start it, or correct OPENAI_BASE_URL (FLEET_FALLBACK_BASE_URL for the second one).",
        )
        return
    if answer.status_code in _REFUSED:
        yield failed(
            f"{url} refuses our key ({answer.status_code}).",
            "Correct OPENAI_API_KEY, or its rights and limits at the provider.",
        )
        return
    served = _served(answer)
    if served is None:
        yield warning(
            f"{url} answers, and does not list its models ({answer.status_code}).",
            "Ask them: `fleetctl models --probe` (a short call each, which costs what it costs).",
        )
        return
    missing = [name for name in names if name not in served]
    if missing:
        yield failed(
            f"{url} does not have {', '.join(missing)}.",
            f"Name others in FLEET_MODEL_SMALL, _MEDIUM, _LARGE: it has {_some(served)}.",
        )
    else:
        yield ok(f"{url} takes our key, and has {', '.join(names)}.")


def _served(answer: httpx2.Response) -> list[str] | None:
    try:
        listed: Any = answer.json()["data"]
        return [str(each["id"]) for each in listed] if answer.is_success else None
    except (ValueError, KeyError, TypeError):
        return None


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def _prices(settings: Settings) -> Iterator[Finding]:
    prices = load_prices(settings.prices)
    candidates: list[Candidate] = distinct(candidates_of(settings))
    unknown = [str(each) for each in candidates if prices.is_free(str(each)) is None]
    if unknown:
        yield warning(
            f"Nobody knows what {', '.join(unknown)} cost: where spending is limited they are "
            "refused.",
            "Add them to the file that FLEET_PRICES names, or give it a cap for unknown models.",
        )
    costs = any(prices.is_free(str(each)) is False for each in candidates)
    if costs and prices.as_of is not None and datetime.now(UTC).date() - prices.as_of > OLD_AFTER:
        yield warning(
            f"The prices are of {prices.as_of}.",
            "Compare them with the provider's, and name a newer file in FLEET_PRICES.",
        )
    if not unknown:
        yield ok("The price of every model is known.")
