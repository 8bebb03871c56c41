"""The only importer of openai: asks one endpoint in plain JSON, within bounds of time and size."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2  # the SDK's own transport library
import openai

from fleet_contracts.errors import TimedOut, Unavailable
from fleet_workers.models.answers import as_object, as_text, told_error
from fleet_workers.models.messages import Interrupted

_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 4.0  # uvicorn, which serves many models, closes idle connections after 5 s
_MAX_CONNECTIONS = 200  # more than the slots of a process, so that no slot waits for another
MOST_REPLY_BYTES: Final = 16 * 1024 * 1024
"""No honest reply is as long, and a hundred slots may read one each."""

_BEGUN = "fleet.begun"  # when a request was begun, among its extensions
_LEAST_SECONDS = 0.01

_NOTHING_WENT_OUT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An endpoint and its key; `base_url` None is OpenAI's own."""

    name: str
    base_url: str | None
    api_key: str = field(repr=False)


class Refusal(Exception):
    """A status of 400 or more. `parameter` is the field that the endpoint says is at fault."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        parameter: str | None,
        code: str | None,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(message)
        self.status = status
        self.parameter = parameter
        self.code = code
        self.headers = headers


class _TooLong(openai.OpenAIError):
    """The reply was not read to its end. Of this type, since the SDK lets those through."""


class Endpoint:
    """One endpoint, whose connections all slots share.

    The SDK's own retries are off: they would neither be counted nor stop at the task's time limit.
    """

    def __init__(self, address: Address) -> None:
        self.name = address.name
        self._client = openai.OpenAI(
            base_url=address.base_url,
            api_key=address.api_key,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(
                limits=httpx2.Limits(
                    max_connections=_MAX_CONNECTIONS,
                    max_keepalive_connections=_MAX_CONNECTIONS,
                    keepalive_expiry=_IDLE_SECONDS,
                ),
                event_hooks={"request": [_note_begin], "response": [_bound]},
            ),
        )
        self.url = str(self._client.base_url).rstrip("/")

    def ask(self, path: str, body: Mapping[str, Any], *, timeout_seconds: float) -> object:
        """The JSON that is answered.

        Raises:
            Refusal: The status is 400 or more.
            Interrupted: The reply broke off, or is too long.
            Unavailable: Nothing went out, or the reply is not JSON.
            TimedOut: It did not come in time.
        """
        where = self._where(body)
        try:
            told = self._client.post(
                path,
                cast_to=object,
                content=_encoded(body),
                options=_options(timeout_seconds, timeout_seconds),
            )
            return json.loads(told) if isinstance(told, str) else told
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{where} answered something that is not JSON.") from error
        except openai.OpenAIError as error:
            raise _translated(error, where) from error

    @contextmanager
    def follow(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        timeout_seconds: float,
        stall_seconds: float,
    ) -> Iterator[Iterator[object]]:
        """The events of a stream; one that pauses for longer than `stall_seconds` has timed out.

        An endpoint that does not stream gives its whole reply as the only event. Raises as `ask`,
        while the events are read, too.
        """
        where = self._where(body)
        try:
            stream = self._client.post(
                path,
                cast_to=object,
                content=_encoded(body),
                options=_options(timeout_seconds, stall_seconds),
                stream=True,
                stream_cls=openai.Stream[object],
            )
        except openai.OpenAIError as error:
            raise _translated(error, where) from error
        try:
            yield _events(stream, where)
        finally:
            stream.close()

    def fetch(self, path: str, *, timeout_seconds: float) -> object:
        """The JSON that stands at a path. Raises as `ask`."""
        with _told_as_ours(f"{self.url}{path}"):
            return self._client.get(
                path, cast_to=object, options=_options(timeout_seconds, timeout_seconds)
            )

    def send_file(self, name: str, content: bytes, *, timeout_seconds: float) -> str:
        """Upload a file for the Batch API; gives its id. Raises as `ask`."""
        with _told_as_ours(f"{self.url}/files"):
            sent = self._client.files.create(
                file=(name, content), purpose="batch", timeout=timeout_seconds
            )
            return str(sent.id)

    def read_file(self, file_id: str, *, timeout_seconds: float) -> str:
        """A file's text. Raises as `ask`."""
        with _told_as_ours(f"{self.url}/files"):
            return str(self._client.files.content(file_id, timeout=timeout_seconds).text)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _where(self, body: Mapping[str, Any]) -> str:
        return f"{body.get('model', 'The Batch API')} at {self.url}"


@contextmanager
def _told_as_ours(where: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{where} answered something that is not JSON.") from error
    except openai.OpenAIError as error:
        raise _translated(error, where) from error


def _events(stream: "openai.Stream[object]", where: str) -> Iterator[object]:
    try:
        if "json" in stream.response.headers.get("Content-Type", ""):
            yield json.loads(stream.response.read())
        else:
            yield from stream
    except (ValueError, RecursionError) as error:
        raise Interrupted(f"{where} streamed something that is not JSON.") from error
    except httpx2.TimeoutException as error:
        raise TimedOut(f"{where} did not answer in time.") from error
    except httpx2.RequestError as error:
        raise Interrupted(f"{where} broke off its answer.") from error
    except openai.OpenAIError as error:
        raise _translated(error, where) from error


def _encoded(body: Mapping[str, Any]) -> bytes:
    """As ASCII, so that a lone surrogate in a customer's text, which is legal JSON, can be sent."""
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def _options(timeout_seconds: float, read_seconds: float) -> Any:
    timeout = openai.Timeout(
        timeout_seconds,
        connect=min(_CONNECT_SECONDS, timeout_seconds),
        read=min(read_seconds, timeout_seconds),
    )
    return {"timeout": timeout, "headers": {"Content-Type": "application/json"}}


def _note_begin(request: httpx2.Request) -> None:
    request.extensions[_BEGUN] = time.monotonic()


def _bound(response: httpx2.Response) -> None:
    """Let a reply be read until its request's longest timeout is over, counted from its begin.

    The library bounds each read by itself, so that a reply that drips would hold a slot for ever.
    """
    request = response.request
    timeouts = request.extensions["timeout"]
    until = request.extensions[_BEGUN] + max(timeouts.values())
    # The transport looks here before it reads the body.
    timeouts["read"] = max(_LEAST_SECONDS, min(timeouts["read"], until - time.monotonic()))
    response.stream = _Bounded(response.stream, request, until)


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, stream: Any, request: httpx2.Request, until: float) -> None:
        self._stream = stream
        self._request = request
        self._until = until

    def __iter__(self) -> Iterator[bytes]:
        left = MOST_REPLY_BYTES
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise _TooLong
            if time.monotonic() > self._until:
                raise httpx2.ReadTimeout("The reply drips.", request=self._request)
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _translated(error: openai.OpenAIError, where: str) -> Exception:
    match error:
        case openai.APIStatusError():
            found: Exception = _refusal(error)
        case openai.APIConnectionError() if isinstance(error.__cause__, _NOTHING_WENT_OUT):
            found = Unavailable(f"{where} cannot be reached: check OPENAI_BASE_URL.")
        case openai.APITimeoutError():
            found = TimedOut(f"{where} did not answer in time.")
        case openai.APIConnectionError():
            found = Interrupted(f"{where} broke off the connection.")
        case _TooLong():
            found = Interrupted(f"{where} answered more than {MOST_REPLY_BYTES:,} bytes.")
        case openai.APIError():  # told within a stream
            found = told_error({"message": error.message, **as_object(error.body)}, where, None)
        case _:
            found = Unavailable(f"{where} answered nonsense: {error}.")
    return found


def _refusal(error: openai.APIStatusError) -> Refusal:
    told = as_object(error.body)
    words = as_text(told.get("message")) or as_text(error.body) or json.dumps(error.body)
    return Refusal(
        words,
        status=error.status_code,
        parameter=as_text(told.get("param")),
        code=as_text(told.get("code")),
        headers=error.response.headers,
    )
