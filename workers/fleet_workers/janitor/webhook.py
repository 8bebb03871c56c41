"""Sends one signed POST to an outside system, after the convention of Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks: `webhook-id` stays the same over retries,
`webhook-signature` is HMAC-SHA-256 over id, timestamp and body.
"""

import asyncio
import base64
import binascii
import hmac
import time
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import httpx2

from fleet_workers.resilience.retry_after import read_retry_after

TIMEOUT_SECONDS: Final = 10.0
_ENCODED: Final = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of one try. `is_final` says that no other try shall follow."""

    is_taken: bool
    error: str = ""
    is_final: bool = False
    retry_after_seconds: float | None = None


TAKEN: Final = Receipt(is_taken=True)


def signing_key(secret: str) -> bytes:
    """The bytes that sign: of `whsec_…` what its base64 holds, else the secret's own.

    Raises:
        ValueError: It is empty, or not base64 behind `whsec_`.
    """
    key = secret.encode()
    if secret.startswith(_ENCODED):
        try:
            key = base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
        except binascii.Error as error:
            raise ValueError(f"it is not base64 behind {_ENCODED}: {error}") from error
    if not key:
        raise ValueError("it is empty")
    return key


def sign(key: bytes, *, delivery: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    signed = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.digest(key, signed, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


class WebhookSender:
    """Sends to one address and no other; used by one thread. Redirects are not followed.

    The time-out bounds the whole exchange, so that no receiver holds a delivery longer than its
    loan. Only the head of the answer is read.
    """

    def __init__(self, url: str, key: bytes, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._runner = asyncio.Runner()
        self._client: httpx2.AsyncClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._runner.run(self._client.aclose())
        self._runner.close()

    def send(self, delivery: UUID, body: str) -> Receipt:
        """Send a body once; whatever goes wrong is in the receipt."""
        try:
            return self._runner.run(self._post(str(delivery), body.encode("utf-8", "replace")))
        except TimeoutError:
            return Receipt(is_taken=False, error=f"no answer within {self._timeout_seconds:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            said = f"{type(error).__name__}: {error}"
            return Receipt(is_taken=False, error=said.rstrip(": "))

    async def _post(self, delivery: str, body: bytes) -> Receipt:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                timeout=self._timeout_seconds,
                follow_redirects=False,
                headers={"user-agent": "agent-fleet"},
            )
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, delivery=delivery, timestamp=timestamp, body=body),
        }
        async with (
            asyncio.timeout(self._timeout_seconds),
            self._client.stream("POST", self._url, content=body, headers=headers) as response,
        ):
            return _receipt(response)


def _receipt(response: httpx2.Response) -> Receipt:
    if response.is_success:
        return TAKEN
    status = response.status_code
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
    return Receipt(
        is_taken=False,
        error=f"answered {status} {phrase}",
        is_final=status == HTTPStatus.GONE,
        retry_after_seconds=read_retry_after(response.headers),
    )
