"""Limits how often somebody may try to sign in: by address, and by account."""

from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from limits import RateLimitItemPerHour, RateLimitItemPerMinute

from fleet_workers.resilience.limits import RateLimit, RateLimits
from fleet_workers.web.errors import TooManyTries

_MINUTES_OF_AN_HOUR = 6  # an account bears this many minutes of tries an hour
_NETWORK_BITS = 64  # what one household or office gets of IPv6


def take_try(
    limits: RateLimits, *, tries_a_minute: int, address: str | None, account: str | None = None
) -> None:
    """Count a try from an address, for an account where it names one.

    An account's tries are also counted by the hour. The account is kept as a digest.

    Raises:
        TooManyTries: Nothing was counted; the error tells after how many seconds it would be.
    """
    minute = RateLimitItemPerMinute(tries_a_minute)
    checks = [RateLimit(scope=("sign-in", "from", network_of(address)), rate=minute)]
    if account is not None:
        digest = sha256(account.encode("utf-8", "surrogatepass")).hexdigest()
        hour = RateLimitItemPerHour(tries_a_minute * _MINUTES_OF_AN_HOUR)
        checks += [RateLimit(scope=("sign-in", "as", digest), rate=rate) for rate in (minute, hour)]
    wait_seconds = limits.take(checks)
    if wait_seconds is not None:
        seconds = ceil(wait_seconds)
        raise TooManyTries(
            f"Too many tries to sign in: wait {seconds} seconds, then try again.",
            retry_after_seconds=seconds,
        )


def network_of(address: str | None) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((int(found), _NETWORK_BITS), strict=False))
    return str(found)
