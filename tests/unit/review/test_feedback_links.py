"""Signed links: what they say, and that nothing else is believed."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from fleet_workers.review.feedback_links import (
    LIFETIME,
    TOKEN_LENGTH,
    FeedbackLink,
    read_link,
    sign_link,
)

KEY = b"k" * 32
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LINK = FeedbackLink(task_id=uuid4(), expires_at=NOW + LIFETIME)
TOKEN = sign_link(LINK, key=KEY)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \0é"


def test_a_link_says_what_was_signed_until_its_time_is_over() -> None:
    assert len(TOKEN) == TOKEN_LENGTH
    assert read_link(TOKEN, key=KEY, now=NOW) == LINK
    assert read_link(TOKEN, key=KEY, now=NOW + LIFETIME - timedelta(seconds=1)) == LINK
    assert read_link(TOKEN, key=KEY, now=NOW + LIFETIME) is None


def test_another_key_signs_nothing_that_we_believe() -> None:
    assert read_link(sign_link(LINK, key=b"x" * 32), key=KEY, now=NOW) is None


@given(st.integers(0, TOKEN_LENGTH - 1), st.sampled_from(_ALPHABET))
def test_no_character_can_be_changed(place: int, letter: str) -> None:
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    assert (read_link(changed, key=KEY, now=NOW) is None) == (changed != TOKEN)


@given(st.text(max_size=80))
def test_garbage_is_no_link(text: str) -> None:
    assert read_link(text, key=KEY, now=NOW) is None
