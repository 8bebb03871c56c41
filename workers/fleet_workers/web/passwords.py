"""Passwords: which are taken, and whether one is right. They are kept as argon2id hashes."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fleet_contracts.errors import InvalidInput
from fleet_workers.web.errors import TooManyTries

SHORTEST = 12
LONGEST = 1000

_AT_ONCE = 2  # each takes 64 MiB for 0.1 s
_WAIT_SECONDS = 5.0
_hasher = PasswordHasher()
_turns = BoundedSemaphore(_AT_ONCE)


def hash_password(password: str, *, email: str) -> str:
    """Check a new password and give its argon2id hash. White space around it does not count.

    Raises:
        InvalidInput: It is too short or too long, holds the address, or is one character repeated.
        TooManyTries: Too many are hashed at the moment.
    """
    clean = _normal(password)
    if not SHORTEST <= len(clean) <= LONGEST:
        raise InvalidInput(f"A password has {SHORTEST} to {LONGEST:,} characters: choose another.")
    if email and email.casefold() in clean.casefold():
        raise InvalidInput("The password holds the e-mail address: choose another.")
    if len(set(clean)) == 1:
        raise InvalidInput("The password is one character repeated: choose another.")
    try:
        secret = clean.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("The password holds what is no character: choose another.") from error
    with _turn():
        return _hasher.hash(secret)


def hash_again(password: str) -> str:
    """The hash of a password that was found to be right, with the parameters of today.

    Raises:
        TooManyTries: Too many are hashed at the moment.
    """
    with _turn():
        return _hasher.hash(_normal(password).encode())


def is_right(password: str, password_hash: str | None) -> bool:
    """Tell whether a password belongs to a hash.

    Without a hash it is none, after the same time: so nobody learns by the clock who has an
    account.

    Raises:
        TooManyTries: Too many are checked at the moment.
    """
    secret = _normal(password[: 2 * LONGEST])[: LONGEST + 1].encode("utf-8", "replace")
    with _turn():
        nobodys_hash = _nobodys_hash()  # made at the first sign-in, whoever that is
        try:
            _hasher.verify(password_hash or nobodys_hash, secret)
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Tell whether a hash was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(password_hash)


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(b"a password that opens no account")


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=_WAIT_SECONDS):
        raise TooManyTries(
            "Too many people sign in at this moment: try again in some seconds.",
            retry_after_seconds=_WAIT_SECONDS,
        )
    try:
        yield
    finally:
        _turns.release()


def _normal(password: str) -> str:
    """The same characters, however a keyboard composes them."""
    return unicodedata.normalize("NFC", password.strip())
