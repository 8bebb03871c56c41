"""Errors that only HTTP knows. They stand in the fleet's tree.

InvalidInput
├── MalformedBody     the body is no JSON
├── BodyTooLarge      the body is over the limit
├── NotOpen           the task has ended, so it cannot be cancelled
└── UnknownReplay     no bulk replay of that id in the caller's tenant
ConfigurationError
└── DryRunNotSetUp    this web process has no model to ask
Unauthorized
├── Forbidden         the key is right but does not allow this
├── SignInNeeded      a page of the console without a session
└── SignInRefused     a wrong key or password, or one that does not open the console
TransientError
├── BeingTaken        another request with the same idempotency key has not ended yet
└── TooManyTries      so often has somebody tried to sign in that all must wait
"""

from fleet_contracts.errors import ConfigurationError, InvalidInput, TransientError, Unauthorized


class MalformedBody(InvalidInput):
    """The body is not JSON in UTF-8, or holds a number that JSON does not know."""

    code = "malformed_json"


class BodyTooLarge(InvalidInput):
    """The body, or the envelope in it, is over the limit."""

    code = "too_large"


class NotOpen(InvalidInput):
    """The task has ended."""

    code = "not_open"


class UnknownReplay(InvalidInput):
    """No bulk replay of that id exists in the caller's tenant."""

    code = "unknown_replay"


class DryRunNotSetUp(ConfigurationError):
    """The web process lacks the settings of the model, or they are wrong."""

    code = "not_set_up"


class Forbidden(Unauthorized):
    """The key is known and its role or tenant does not allow this."""

    code = "forbidden"


class SignInNeeded(Unauthorized):
    """Nobody is signed in, or the session has ended."""

    code = "sign_in_needed"


class SignInRefused(Unauthorized):
    """Who tried to sign in was not let in; the text says why, as far as strangers may know."""

    code = "sign_in_refused"


class BeingTaken(TransientError):
    """A first request with the same idempotency key is being taken at this moment."""

    code = "being_taken"


class TooManyTries(TransientError):
    """Too many tries to sign in, from one address or for one account; the text says how long."""

    code = "too_many_tries"
