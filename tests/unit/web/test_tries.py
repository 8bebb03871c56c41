"""How often somebody may try to sign in."""

import secrets
from collections.abc import Iterator

import pytest

from fleet_workers.resilience.limits import RateLimits
from fleet_workers.resilience.redis_link import open_link
from fleet_workers.web.errors import TooManyTries
from fleet_workers.web.tries import network_of, take_try
from support.servers import REDIS, need

ADDRESS = "192.0.2.1"


@pytest.fixture
def limits() -> RateLimits:
    return RateLimits(None)


def tries(
    limits: RateLimits,
    number: int,
    *,
    address: str | None,
    account: str | None = None,
    a_minute: int,
) -> int:
    """How many of so many tries were let through."""
    return sum(
        is_taken(limits, address=address, account=account, a_minute=a_minute) for _ in range(number)
    )


def is_taken(
    limits: RateLimits, *, address: str | None, account: str | None, a_minute: int
) -> bool:
    try:
        take_try(limits, tries_a_minute=a_minute, address=address, account=account)
    except TooManyTries:
        return False
    return True


def test_the_refusal_says_how_long_to_wait(limits: RateLimits) -> None:
    tries(limits, 1, address=ADDRESS, a_minute=1)
    with pytest.raises(TooManyTries, match=r"wait (59|60) seconds") as refused:
        take_try(limits, tries_a_minute=1, address=ADDRESS)
    assert refused.value.retry_after_seconds in {59, 60}


def test_an_address_has_so_many_tries_a_minute_and_others_theirs(limits: RateLimits) -> None:
    assert tries(limits, 9, address=ADDRESS, a_minute=5) == 5
    assert tries(limits, 9, address="192.0.2.2", a_minute=5) == 5


def test_an_account_is_guarded_from_many_addresses(limits: RateLimits) -> None:
    taken = sum(
        tries(limits, 1, address=f"192.0.2.{host}", account="ann@example.com", a_minute=5)
        for host in range(50)
    )
    assert taken == 5
    assert tries(limits, 1, address=ADDRESS, account="bob@example.com", a_minute=5) == 1


def test_a_try_that_is_refused_is_not_counted_elsewhere(limits: RateLimits) -> None:
    """Else an attacker at one address could lock out every account with no try left."""
    tries(limits, 5, address=ADDRESS, a_minute=5)
    assert tries(limits, 20, address=ADDRESS, account="ann@example.com", a_minute=5) == 0
    assert tries(limits, 5, address="192.0.2.2", account="ann@example.com", a_minute=5) == 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        (None, "", True),
        ("testclient", "%", True),
    ],
)
def test_what_counts_as_one_place(one: str | None, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


@pytest.fixture
def far_redis() -> Iterator[RateLimits]:
    link = open_link("redis://127.0.0.1:1/0")
    yield RateLimits(link)
    link.close()


def test_without_redis_a_process_limits_by_itself(far_redis: RateLimits) -> None:
    assert 1 <= tries(far_redis, 60, address=ADDRESS, account="ann@example.com", a_minute=20) <= 20


def test_two_processes_share_the_count_in_redis() -> None:
    need("Redis")
    link = open_link(f"{REDIS}/0")
    try:
        one, other = RateLimits(link), RateLimits(link)
        account = f"{secrets.token_hex(8)}@example.com"
        taken = sum(
            tries(
                limits, 4, address=f"2001:db8:{secrets.token_hex(2)}::", account=account, a_minute=5
            )
            for limits in (one, other)
        )
        assert taken == 5
    finally:
        link.close()
