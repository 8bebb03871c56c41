"""A chat model that follows a script."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from threading import Lock

from fleet_contracts.errors import PermanentError, TimedOut, Unavailable
from fleet_workers.controller.triage import SEND_PREFIX
from fleet_workers.models.messages import ChatReply, ChatRequest, Message, ToolCall
from fleet_workers.testing.model_server import ScriptedServer, serve_script
from fleet_workers.testing.replies import Babbles, Fails, Reply, Says, Stalls, Trouble

MODEL_NAME = "scripted"


class ScriptedModel:
    """Replies line by line; safe for threads, usable wherever a `ChatModel` is.

    Which reply comes next follows from the request alone: it is the one after as many replies as
    the conversation holds since the customer's last message. A restarted worker, a second one or
    a repeated attempt therefore gets the right line. Failures take no place in that count: they
    stand before a reply, and each script remembers how often each of them has happened.

    For many tasks at once give `scripts`, and `key`, which tells from the messages whose script
    it is; the mapping is read anew each time, so it may grow. `triage` is the reply to the
    question which agent shall handle a task of `auto`.
    """

    def __init__(
        self,
        script: Sequence[Reply] = (),
        *,
        scripts: Mapping[str, Sequence[Reply]] | None = None,
        key: Callable[[list[Message]], str] | None = None,
        triage: Reply | None = None,
    ) -> None:
        if scripts is not None and (key is None or script):
            raise ValueError("Give either one script, or scripts together with key.")
        self._scripts = {"": script} if scripts is None else scripts
        self._key = key if scripts is not None and key is not None else lambda _messages: ""
        self._triage = triage
        self._happened: dict[tuple[str, int], int] = {}
        self._lock = Lock()

    def complete(self, request: ChatRequest) -> ChatReply:
        """Give the reply that is next for this request.

        Raises:
            FleetError: The script says so here.
            Unavailable: It says garbage.
            TimedOut: It stalls for longer than the request allows.
            PermanentError: The script is over, or there is none for this request.
        """
        line, step = self.next_line(request)
        while not isinstance(line, Says):
            self._suffer(line, request.timeout_seconds)
            line, step = self.next_line(request)
        return ChatReply(
            text=line.text,
            tool_calls=tuple(
                ToolCall(id=f"call_{step}_{index}", name=name, arguments=arguments)
                for index, (name, arguments) in enumerate(line.calls)
            ),
            model=MODEL_NAME,
            finish_reason="tool_calls" if line.calls else "stop",
            prompt_tokens=0,
            completion_tokens=0,
            duration_seconds=0.0,
        )

    def serve(
        self, *, delay_seconds: float = 0.0, port: int = 0
    ) -> AbstractContextManager[ScriptedServer]:
        """Serve the script over HTTP until the block ends; each call takes `delay_seconds`.

        Port 0 takes a free one. An endpoint that comes back does so under its old port.
        """
        return serve_script(self, delay_seconds=delay_seconds, port=port)

    def next_line(self, request: ChatRequest) -> tuple[Reply, int]:
        """The line that a request meets now, and the number of replies before it.

        A failure counts as having happened when it is given.

        Raises:
            PermanentError: The script is over, or there is none for this request.
        """
        if _is_triage(request):
            if self._triage is None:
                raise PermanentError(
                    "The task came to auto and the model has no reply for that: "
                    "give ScriptedModel triage=call('send_to_AGENT', confidence=0.9)."
                )
            return self._triage, 0
        key = self._key(request.messages)
        if key not in self._scripts:
            known = ", ".join(sorted(self._scripts)[:10])
            raise PermanentError(f"No script for {key!r}; there are scripts for {known}.")
        step = _replies_so_far(request.messages)
        line = self._line(key, step)
        if line is None:
            said = sum(isinstance(each, Says) for each in self._scripts[key])
            raise PermanentError(
                f"The script{f' for {key!r}' if key else ''} is over: it holds {said} replies "
                f"and the model was asked for reply {step + 1}."
            )
        return line, step

    def _line(self, key: str, step: int) -> Reply | None:
        said = 0
        for place, line in enumerate(self._scripts[key]):
            if isinstance(line, Says):
                if said == step:
                    return line
                said += 1
            elif said == step and self._happens(line, key, place):
                return line
        return None

    def _happens(self, trouble: Trouble, key: str, place: int) -> bool:
        with self._lock:
            happened = self._happened.get((key, place), 0)
            if trouble.times is not None and happened >= trouble.times:
                return False
            self._happened[key, place] = happened + 1
            return True

    def _suffer(self, trouble: Trouble, timeout_seconds: float) -> None:
        match trouble:
            case Fails():
                raise trouble.error
            case Babbles():
                raise Unavailable(f"{MODEL_NAME} answered nonsense: {trouble.text[:100]}")
            case Stalls():
                time.sleep(min(trouble.seconds, timeout_seconds))
                if trouble.seconds >= timeout_seconds:
                    raise TimedOut(f"{MODEL_NAME} did not answer in time.")


def _is_triage(request: ChatRequest) -> bool:
    names = (schema["function"]["name"] for schema in request.tools)
    return any(name.startswith(SEND_PREFIX) for name in names)


def _replies_so_far(messages: Sequence[Message]) -> int:
    """Earlier turns of a session stand before the customer's last message and do not count."""
    count = 0
    for message in reversed(messages):
        if message["role"] == "user":
            break
        count += message["role"] == "assistant"
    return count
