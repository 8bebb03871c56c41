"""The error tree. Every error has a stable `code` and says whether a repeat can help.

FleetError
├── InvalidInput          the caller must change something            not retryable
│   ├── InvalidEnvelope   a task that no worker can read
│   ├── UnknownAgent      no agent of that name is installed
│   ├── UnknownTenant     no tenant of that name exists
│   ├── UnknownTask       no task of that id in this tenant
│   ├── UnknownReview     no review of that id in this tenant
│   ├── AlreadyDecided    a person has decided this, or it waits no more
│   ├── AlreadyClaimed    another person works on this
│   └── Conflict          the same id or key stands for something else
├── Unauthorized          no key, a wrong key, or a key without the right  not retryable
├── ConfigurationError    an operator must change a setting           not retryable
├── TransientError        the same call may succeed later             retryable
│   ├── Unavailable       a server cannot be reached or is overloaded
│   │   ├── NotSent       it could not be reached, and nothing went out
│   │   └── BreakerOpen   it failed so often that it is left alone; no attempt is counted
│   ├── ToolDisabled      an operator has switched the tool off; no attempt is counted
│   ├── RateLimited       called as often as is allowed for now; no attempt is counted
│   ├── TooEarly          what was begun before may still be under way; no attempt is counted
│   └── TimedOut          no answer within the time allowed
├── PermanentError        the same call will fail again               not retryable
├── InDoubt               whether a write took effect is not known    not retryable
├── PolicyError           a gate or rail refused                      not retryable
├── BudgetError           money or attempts are used up               not retryable
└── LeaseLost             another worker holds the task now           not retryable
"""

from typing import ClassVar


class FleetError(Exception):
    """Root of all errors that the fleet raises on purpose.

    `code` is stable and meant for programs; the text is meant for people and names the remedy.
    """

    code: ClassVar[str] = "fleet_error"
    retryable: ClassVar[bool] = False


class InvalidInput(FleetError):
    """The caller sent something that cannot be accepted as it is."""

    code = "invalid_input"


class InvalidEnvelope(InvalidInput):
    """The task cannot be read: not JSON, a wrong field, too large, an unknown schema version."""

    code = "invalid_envelope"


class UnknownAgent(InvalidInput):
    """No agent of that name is installed."""

    code = "unknown_agent"


class UnknownTenant(InvalidInput):
    """No tenant of that name exists."""

    code = "unknown_tenant"


class UnknownTask(InvalidInput):
    """No task of that id exists in the caller's tenant."""

    code = "unknown_task"


class UnknownReview(InvalidInput):
    """No review of that id exists in the caller's tenant."""

    code = "unknown_review"


class AlreadyDecided(InvalidInput):
    """Somebody has decided this item, or its task ended in another way."""

    code = "already_decided"


class AlreadyClaimed(InvalidInput):
    """Another person has claimed this item and works on it."""

    code = "already_claimed"


class Conflict(InvalidInput):
    """The same id or idempotency key was used before with other content."""

    code = "conflict"


class Unauthorized(FleetError):
    """The key is missing, wrong, or does not allow this."""

    code = "unauthorized"


class ConfigurationError(FleetError):
    """A setting is missing or contradicts another one."""

    code = "configuration"


class TransientError(FleetError):
    """The same call may succeed later.

    `retry_after_seconds` carries what the other side asked for, where it did. `counts_attempt`
    tells whether the task uses up one of its attempts, `was_sent` whether anything can have gone
    out: where not, a write is not in doubt.
    """

    code = "transient"
    retryable = True
    counts_attempt: ClassVar[bool] = True
    was_sent: ClassVar[bool] = True

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(TransientError):
    """A server cannot be reached, or says that it is overloaded."""

    code = "unavailable"


class NotSent(Unavailable):
    """A server cannot be reached, and nothing of the call went out."""

    code = "not_sent"
    was_sent = False


class BreakerOpen(Unavailable):
    """A server failed so often that it is left alone for a while.

    Nothing was called, so the task waits without using up one of its attempts.
    """

    code = "breaker_open"
    counts_attempt = False
    was_sent = False


class ToolDisabled(TransientError):
    """An operator has switched the tool off for now; nothing was called."""

    code = "tool_disabled"
    counts_attempt = False
    was_sent = False


class RateLimited(TransientError):
    """It was called as often as is allowed for now; nothing was called.

    `retry_after_seconds` is when it may be called again.
    """

    code = "rate_limited"
    counts_attempt = False
    was_sent = False


class TooEarly(TransientError):
    """What was begun before may still be under way, so it cannot be told whether it was done.

    Nothing was called, so the task waits without using up one of its attempts.
    """

    code = "too_early"
    counts_attempt = False
    was_sent = False


class TimedOut(TransientError):
    """No answer came within the time allowed; whether it took effect is not known."""

    code = "timed_out"


class PermanentError(FleetError):
    """The same call will fail again."""

    code = "permanent"


class InDoubt(FleetError):
    """Whether a write took effect is not known, and asking again would not tell: a person must."""

    code = "in_doubt"


class PolicyError(FleetError):
    """A gate or rail refused."""

    code = "policy"


class BudgetError(FleetError):
    """Money or attempts are used up."""

    code = "budget"


class LeaseLost(FleetError):
    """Another worker holds the task now: stop, write nothing, call nothing."""

    code = "lease_lost"
