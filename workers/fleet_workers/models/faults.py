"""Classes what an endpoint refuses: whether to wait, to give up, or to change a setting."""

from fleet_contracts.errors import (
    ConfigurationError,
    FleetError,
    PermanentError,
    TimedOut,
    Unavailable,
)
from fleet_workers.models.endpoint import Refusal
from fleet_workers.resilience.retry_after import read_retry_after

_SHOWN_CHARACTERS = 500  # endpoints repeat the request in their errors

_KEY = {401, 403}
_NOT_SERVED = {404, 405}
_PAYMENT = 402
_GONE_BETWEEN = {504, 524}  # a proxy gave up waiting; the model may have answered all the same
_AGAIN = {408, 409, 425, 429}
_SERVER = 500


def classed(refusal: Refusal, model: str, url: str) -> FleetError:
    """The fleet's error for a refusal; none of them but TimedOut can have cost anything."""
    status, words = refusal.status, str(refusal)[:_SHOWN_CHARACTERS]
    if status in _KEY:
        return ConfigurationError(f"{url} refuses the key: check OPENAI_API_KEY. It says: {words}")
    if status in _NOT_SERVED:
        return ConfigurationError(
            f"{url} has no model {model}: check FLEET_MODEL_…. It says: {words}"
        )
    if status in _GONE_BETWEEN:
        return TimedOut(f"{model} at {url} did not answer in time: {status}.")
    if status == _PAYMENT or refusal.code == "insufficient_quota":
        return _away(refusal, f"{url} asks for money: raise the account's balance or quota there.")
    if status in _AGAIN or status >= _SERVER:
        return _away(refusal, f"{model} at {url} answered {status}: {words}")
    return PermanentError(f"{model} refused the request: {words}")


def lacks_chat(refusal: Refusal) -> bool:
    """Whether it looks as if this model is served by the Responses API alone."""
    if "v1/responses" in str(refusal):
        return True
    return is_not_served(refusal) and refusal.code != "model_not_found"


def is_away(refusal: Refusal) -> bool:
    """Whether the same may be taken later."""
    return refusal.status in _AGAIN or refusal.status >= _SERVER


def is_about_key(refusal: Refusal) -> bool:
    """Whether our key is refused."""
    return refusal.status in _KEY


def is_not_served(refusal: Refusal) -> bool:
    """Whether the address, or the model there, is not known."""
    return refusal.status in _NOT_SERVED


def _away(refusal: Refusal, text: str) -> Unavailable:
    return Unavailable(text, retry_after_seconds=read_retry_after(refusal.headers))
