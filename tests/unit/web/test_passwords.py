"""Passwords: which are taken, and that a hash says no more than whether one is right."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_contracts.errors import InvalidInput
from fleet_workers.web import passwords
from fleet_workers.web.errors import TooManyTries
from fleet_workers.web.passwords import hash_again, hash_password, is_outdated, is_right

EMAIL = "ann@example.com"
GOOD = "correct horse battery"


def test_a_password_is_kept_as_argon2id_with_a_salt_of_its_own() -> None:
    first, second = (hash_password(GOOD, email=EMAIL) for _ in range(2))
    assert first != second
    found = extract_parameters(first)
    assert found.type is Type.ID
    assert found.memory_cost >= 64 * 1024
    assert is_right(GOOD, first)
    assert not is_right(GOOD + "x", first)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "12 to 1,000"),
        ("elevenchars", "12 to 1,000"),
        (" " * 40, "12 to 1,000"),
        ("  elevenchars  ", "12 to 1,000"),
        ("y" * 1001 + "x", "12 to 1,000"),
        ("a" * 12, "one character repeated"),
        ("\u00e9" * 500, "one character repeated"),
        (f"my {EMAIL} 2026", "e-mail address"),
        (EMAIL.upper(), "e-mail address"),
        ("half a pair: \ud800", "no character"),
    ],
)
def test_a_weak_password_is_refused_with_a_reason(password: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        hash_password(password, email=EMAIL)


@pytest.mark.parametrize("password", ["twelve chars", "x" * 999 + "y", "\u00fc" * 11 + "\u00e9"])
def test_lengths_are_counted_in_characters(password: str) -> None:
    assert is_right(password, hash_password(password, email=EMAIL))


def test_white_space_around_and_how_a_keyboard_composes_do_not_count() -> None:
    kept = hash_password("  M\u00fcller und S\u00f6hne ", email=EMAIL)
    assert is_right("Mu\u0308ller und So\u0308hne", kept)
    assert not is_right("Muller und Sohne", kept)


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=2000))
def test_no_text_is_right_without_a_hash_or_with_anothers(said: str) -> None:
    assert not is_right(said, None)
    assert not is_right(said, "no hash at all")


def test_a_hash_with_parameters_of_yesterday_is_outdated() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=64).hash(GOOD)
    assert is_outdated(old)
    assert is_right(GOOD, old)
    fresh = hash_again(GOOD)
    assert not is_outdated(fresh)
    assert is_right(GOOD, fresh)


def test_who_would_fill_the_memory_with_hashing_waits_and_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 0.05)
    turns = passwords._turns
    for _ in range(passwords._AT_ONCE):
        assert turns.acquire(timeout=5)
    try:
        with pytest.raises(TooManyTries) as refused:
            is_right(GOOD, None)
        assert refused.value.retry_after_seconds
    finally:
        for _ in range(passwords._AT_ONCE):
            turns.release()


def test_at_the_first_sign_ins_of_a_process_too_only_so_many_hash_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, lock, busy, most = passwords._hasher, Lock(), [0], [0]

    class Watched:
        def hash(self, secret: bytes) -> str:
            return self.watch(lambda: real.hash(secret))

        def verify(self, known: str, secret: bytes) -> bool:
            return self.watch(lambda: real.verify(known, secret))

        def watch(self, work: Callable[[], Any]) -> Any:
            with lock:
                busy[0] += 1
                most[0] = max(most[0], busy[0])
            try:
                return work()
            finally:
                with lock:
                    busy[0] -= 1

    monkeypatch.setattr(passwords, "_hasher", Watched())
    monkeypatch.setattr(passwords, "_WAIT_SECONDS", 60)
    passwords._nobodys_hash.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(lambda _: is_right(GOOD, None), range(8)))
    assert most[0] == passwords._AT_ONCE
