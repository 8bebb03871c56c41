"""Signs the links by which a customer judges an answer without an account."""

import base64
import binascii
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

LIFETIME: Final = timedelta(days=30)
KEY_NAME: Final = "feedback"
"""Name of the signing key in the store."""

TOKEN_LENGTH: Final = 50
"""Characters of a token: 16 bytes of id, 5 of time, 16 of signature, in URL-safe base 64."""

_ID, _TIME, _SIGNATURE = 16, 5, 16
_PURPOSE = b"fleet feedback link\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackLink:
    """What a token says: a task, and until when it may be judged. Nothing about a person."""

    task_id: UUID
    expires_at: datetime


def sign_link(link: FeedbackLink, *, key: bytes) -> str:
    """The token of a link; its time is cut to seconds."""
    seconds = int(link.expires_at.timestamp())
    said = link.task_id.bytes + seconds.to_bytes(_TIME, "big")
    return _text(said + _signature(said, key))


def read_link(token: str, *, key: bytes, now: datetime) -> FeedbackLink | None:
    """What a token says; None where it is not ours, was changed, or is over.

    HMAC-SHA-256 (RFC 2104), truncated to 128 bits.
    """
    if len(token) != TOKEN_LENGTH or not token.isascii():
        return None
    try:
        content = base64.b64decode(token + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if _text(content) != token:
        return None  # the last character has bits to spare
    said, signature = content[: _ID + _TIME], content[_ID + _TIME :]
    if not hmac.compare_digest(signature, _signature(said, key)):
        return None
    expires_at = datetime.fromtimestamp(int.from_bytes(said[_ID:], "big"), UTC)
    if expires_at <= now:
        return None
    return FeedbackLink(task_id=UUID(bytes=said[:_ID]), expires_at=expires_at)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _signature(said: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + said, "sha256")[:_SIGNATURE]
