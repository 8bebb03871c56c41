"""How the client talks with the fleet, without any I/O: what both clients share."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from fleet_client import answers, requests
from fleet_client.options import body_for_http, envelope_for_broker, split_item
from fleet_client.settings import ClientSettings
from fleet_client.steps import (
    ConnectionBroken,
    Conversation,
    HttpAnswer,
    HttpRequest,
    Pause,
    Publish,
)
from fleet_contracts.envelope import MAX_ENVELOPE_BYTES
from fleet_contracts.errors import (
    ConfigurationError,
    FleetError,
    InvalidInput,
    TimedOut,
    TransientError,
    Unauthorized,
    UnknownTask,
)
from fleet_contracts.feedback import Feedback, Rating
from fleet_contracts.outcome import TaskView

WAIT_SECONDS = 300.0
"""How long `wait` waits unless told otherwise."""

_BULK_TASKS = 100
_BULK_BYTES = 4 * MAX_ENVELOPE_BYTES  # keeps a request far below what proxies refuse
_HOLD_SECONDS = 20.0  # proxies often cut an answer off after 30 s
_OUTAGE_SECONDS = 15.0  # a restart of the web process takes less; a wrong address never ends
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0

Submitted = UUID | FleetError


class Conversations:
    """The client's operations, each a generator of steps (see `fleet_client.steps`).

    The HTTP requests may be repeated, because a task carries its id and the others change nothing
    a second time: each is sent again once when its connection broke.
    """

    def __init__(
        self, settings: ClientSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock

    def submit(self, text: str, options: Mapping[str, Any]) -> Conversation[UUID]:
        """Hand in one task, over the broker where its URL and a tenant are known, or over HTTP."""
        tenant = self._tenant(options)
        if self._uses_broker(tenant):
            envelope = envelope_for_broker(text, options, tenant=str(tenant))
            yield Publish(envelope=envelope)
            return envelope.id
        body = body_for_http(text, options, tenant=tenant)
        return answers.read_accepted((yield from self._exchange(requests.submit_request(body))))

    def submit_many(self, items: Iterable[object]) -> Conversation[list[Submitted]]:
        """Hand in many tasks; each result is the task's id or its error, in the order given.

        Once a server cannot be reached or refuses the key, the tasks left get that error unsent.
        """
        results: dict[int, Submitted] = {}
        over_http: list[tuple[int, dict[str, Any]]] = []
        outage: FleetError | None = None
        for place, item in enumerate(items):
            try:
                text, options = split_item(item)
                tenant = self._tenant(options)
                if not self._uses_broker(tenant):
                    over_http.append((place, body_for_http(text, options, tenant=tenant)))
                    continue
                envelope = envelope_for_broker(text, options, tenant=str(tenant))
                if outage is not None:
                    results[place] = outage
                    continue
                yield Publish(envelope=envelope)
                results[place] = envelope.id
            except (TransientError, Unauthorized) as error:
                results[place] = outage = error
            except FleetError as error:
                results[place] = error
        results.update((yield from self._submit_over_http(over_http)))
        return [results[place] for place in sorted(results)]

    def status(self, task_id: UUID | str) -> Conversation[TaskView]:
        """Ask how a task stands."""
        request = requests.status_request(_as_id(task_id))
        return answers.read_task((yield from self._exchange(request)))

    def journal(self, task_id: UUID | str) -> Conversation[list[dict[str, Any]]]:
        """Ask for a task's steps so far."""
        request = requests.journal_request(_as_id(task_id))
        return answers.read_journal((yield from self._exchange(request)))

    def cancel(self, task_id: UUID | str) -> Conversation[TaskView]:
        """Ask that a task be given up, then ask how it stands."""
        request = requests.cancel_request(_as_id(task_id))
        answers.check_accepted((yield from self._exchange(request)))
        return (yield from self.status(task_id))

    def give_feedback(
        self, task_id: UUID | str, *, rating: Rating | None, comment: str, flag: bool
    ) -> Conversation[Feedback]:
        """Say how a finished task went."""
        request = requests.feedback_request(
            _as_id(task_id), rating=rating, comment=comment, flag=flag
        )
        return answers.read_feedback((yield from self._exchange(request)))

    def feedback_link(self, task_id: UUID | str, *, days: int) -> Conversation[str]:
        """Ask for an address at which a customer can say how it went."""
        request = requests.feedback_link_request(_as_id(task_id), days=days)
        return answers.read_link((yield from self._exchange(request)))

    def wait(
        self, task_id: UUID | str, timeout_seconds: float, *, follow: bool = False
    ) -> Conversation[TaskView]:
        """Ask again and again until the task is settled, through short outages of the server.

        Where `follow`, a task that was replaced is followed to the one that runs in its place.
        """
        number = _as_id(task_id)
        end = self._clock() + timeout_seconds
        reached = self._clock()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            asked = self._clock()
            hold = min(_HOLD_SECONDS, max(0.0, end - asked))
            trouble: FleetError | None = None
            try:
                request = requests.status_request(number, hold_seconds=hold)
                view = answers.read_task((yield from self._exchange(request)))
                following = view.outcome.replaced_by if view.outcome is not None else None
                if view.settled and (following is None or not follow):
                    return view
                number = following or number
                reached = self._clock()
            except UnknownTask as error:
                # A task sent over the broker is known once a worker has taken it up.
                if not self._settings.broker_url:
                    raise
                trouble, reached = error, self._clock()
            except TransientError as error:
                if self._clock() - reached > _OUTAGE_SECONDS:
                    raise
                trouble, pause = error, max(pause, error.retry_after_seconds or 0.0)
            left = end - self._clock()
            if left <= 0:
                raise _out_of_time(number, timeout_seconds, trouble) from trouble
            if self._clock() - asked < 1:  # the server did not hold its answer
                yield Pause(seconds=min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)

    def _tenant(self, options: Mapping[str, Any]) -> str | None:
        return options.get("tenant") or self._settings.tenant

    def _uses_broker(self, tenant: str | None) -> bool:
        """Tell the way to send. Only an API key can name a tenant that the caller did not."""
        if not self._settings.broker_url:
            return False
        if tenant is None and not self._settings.api_url:
            raise ConfigurationError(
                "A task sent over the broker must name its tenant: pass tenant=… or set "
                "FLEET_TENANT."
            )
        return tenant is not None

    def _exchange(self, request: HttpRequest) -> Conversation[HttpAnswer]:
        if not self._settings.api_url:
            raise ConfigurationError(
                "Tasks are followed over HTTP and no API address is known: pass api_url=… "
                "or set FLEET_API_URL (and FLEET_API_KEY)."
            )
        try:
            answer = yield request
        except ConnectionBroken:
            answer = yield request
        assert answer is not None  # noqa: S101 - by the definition of Conversation
        return answer

    def _submit_over_http(
        self, tasks: Sequence[tuple[int, dict[str, Any]]]
    ) -> Conversation[dict[int, Submitted]]:
        results: dict[int, Submitted] = {}
        outage: FleetError | None = None
        for part in _parts(tasks):
            places = [place for place, _ in part]
            if outage is None:
                try:
                    request = requests.bulk_request([body for _, body in part])
                    answer = yield from self._exchange(request)
                    ids = answers.read_bulk(answer, expected=len(part))
                    results.update(zip(places, ids, strict=True))
                    continue
                except InvalidInput as error:
                    results.update(dict.fromkeys(places, error))
                    continue
                except FleetError as error:
                    outage = error
            results.update(dict.fromkeys(places, outage))
        return results


def _parts(
    tasks: Sequence[tuple[int, dict[str, Any]]],
) -> Iterator[Sequence[tuple[int, dict[str, Any]]]]:
    """Cut tasks into requests of limited count and size."""
    part: list[tuple[int, dict[str, Any]]] = []
    size = 0
    for place, body in tasks:
        length = sum(len(str(body[field])) for field in ("input", "data", "metadata"))
        if part and (len(part) >= _BULK_TASKS or size + length > _BULK_BYTES):
            yield part
            part, size = [], 0
        part.append((place, body))
        size += length
    if part:
        yield part


def _as_id(task_id: UUID | str) -> UUID:
    if isinstance(task_id, UUID):
        return task_id
    try:
        return UUID(str(task_id))
    except ValueError as error:
        raise InvalidInput(
            f"{str(task_id)[:80]!r} is no task id: give the id that submit returned."
        ) from error


def _out_of_time(task_id: UUID, seconds: float, trouble: FleetError | None) -> FleetError:
    if isinstance(trouble, UnknownTask):
        return UnknownTask(
            f"No worker took task {task_id} within {seconds:g} s: check the id, and that the "
            "agent's pool is running (`fleetctl worker AGENT`)."
        )
    if trouble is not None:
        return TimedOut(f"Task {task_id} could not be followed for {seconds:g} s: {trouble}")
    return TimedOut(
        f"Task {task_id} is not settled after {seconds:g} s. It goes on by itself: wait again, "
        "or cancel it."
    )
