"""Works through an inbox over HTTP, as any other service would, and follows every task."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Event
from typing import Any, Final

import httpx2
from pydantic import ValidationError

from fleet_contracts.outcome import TaskView
from fleet_workers.embedded.inbox import InboxRequest
from fleet_workers.embedded.supervisor import StopRequested

_IN_FLIGHT: Final = 200
"""Tasks followed at once: more only makes each look at a task older."""
_PAUSE_SECONDS: Final = 0.2
_STALL_SECONDS: Final = 180.0
"""With no task settled for so long, the rest will not settle while somebody watches."""
_REQUEST_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxResult:
    """What came of one request: the task as last seen, or why the fleet refused to take it.

    `seconds` is from submission to the settled task, or to the last look at an open one.
    """

    request: InboxRequest
    view: TaskView | None = None
    refusal: str | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class _Followed:
    index: int
    request: InboxRequest
    task_id: str
    sent_at: float
    view: TaskView | None = field(default=None)


class InboxRun:
    """One pass through an inbox. `on_progress` is told the number of results after each.

    Requests of one session are sent one after the other, as a customer waits for an answer. A
    web process that is away for a moment is asked again; repeats carry the same key.
    """

    def __init__(
        self,
        client: httpx2.Client,
        requests: Iterable[InboxRequest],
        *,
        stop_requested: Event,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._waiting = deque(enumerate(requests))
        self._followed: list[_Followed] = []
        self._results: dict[int, InboxResult] = {}
        self._stop_requested = stop_requested
        self._on_progress = on_progress
        self._run = secrets.token_hex(4)

    def work(self) -> list[InboxResult]:
        """Submit all, follow all, and give the results in the inbox's order.

        Raises:
            StopRequested: The end was asked for meanwhile.
        """
        last_settled = time.monotonic()
        while self._waiting or self._followed:
            if self._stop_requested.is_set():
                raise StopRequested("The fleet was stopped before the inbox was done.")
            before = len(self._results)
            self._submit_some()
            self._look_at_all()
            if len(self._results) > before:
                last_settled = time.monotonic()
            elif time.monotonic() - last_settled > _STALL_SECONDS:
                self._give_up()
            self._stop_requested.wait(_PAUSE_SECONDS)
        return [self._results[index] for index in sorted(self._results)]

    def _submit_some(self) -> None:
        busy = {_session(entry.request) for entry in self._followed} - {None}
        held_back = []
        while self._waiting and len(self._followed) < _IN_FLIGHT:
            index, request = self._waiting.popleft()
            session = _session(request)
            if session in busy:
                held_back.append((index, request))
                continue
            if not self._submit(index, request):
                held_back.append((index, request))
                break
            busy.add(session)
            busy.discard(None)
        self._waiting.extendleft(reversed(held_back))

    def _submit(self, index: int, request: InboxRequest) -> bool:
        """Hand one request in; false where the web process is away."""
        body = request.envelope.model_dump(mode="json", exclude={"id"}, exclude_none=True)
        if "session_id" in body:  # a conversation of this run, not the one of the run before
            body["session_id"] = f"{body['session_id']}-{self._run}"
        key = {"Idempotency-Key": f"inbox-{self._run}-{index}"}
        try:
            answer = self._client.post("/v1/tasks", json=body, headers=key)
        except httpx2.TransportError:
            return False
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return False
        if answer.is_error:
            self._settle(index, InboxResult(request=request, refusal=_detail(answer)))
        else:
            task_id = answer.json()["id"]
            self._followed.append(_Followed(index, request, task_id, time.monotonic()))
        return True

    def _look_at_all(self) -> None:
        for entry in list(self._followed):
            if self._stop_requested.is_set():
                return
            try:
                answer = self._client.get(f"/v1/tasks/{entry.task_id}")
                answer.raise_for_status()
                entry.view = TaskView.model_validate(answer.json())
            except (httpx2.HTTPError, ValidationError, ValueError):
                continue
            if entry.view.settled:
                self._followed.remove(entry)
                self._settle(entry.index, _result(entry))

    def _give_up(self) -> None:
        for entry in self._followed:
            self._settle(entry.index, _result(entry))
        for index, request in self._waiting:
            refusal = "never sent: the web process did not take it"
            self._settle(index, InboxResult(request=request, refusal=refusal))
        self._followed.clear()
        self._waiting.clear()

    def _settle(self, index: int, result: InboxResult) -> None:
        self._results[index] = result
        self._on_progress(len(self._results))


def open_client(api_url: str, key: str) -> httpx2.Client:
    """An HTTP client for the fleet's own web process; no proxy is used to reach loopback."""
    return httpx2.Client(
        base_url=api_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=_REQUEST_TIMEOUT_SECONDS,
        trust_env=False,
    )


def _session(request: InboxRequest) -> tuple[str, str] | None:
    envelope = request.envelope
    return (envelope.tenant, envelope.session_id) if envelope.session_id else None


def _result(entry: _Followed) -> InboxResult:
    seconds = time.monotonic() - entry.sent_at
    if (view := entry.view) and view.finished_at:
        seconds = (view.finished_at - view.created_at).total_seconds()
    return InboxResult(request=entry.request, view=entry.view, seconds=seconds)


def _detail(answer: httpx2.Response) -> str:
    try:
        problem: Any = answer.json()
        return str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
