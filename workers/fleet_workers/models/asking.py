"""Asks one candidate in a form that it understands, which is found out once and remembered."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import structlog

from fleet_workers.models import chat_completions, responses_api
from fleet_workers.models.answers import Answer
from fleet_workers.models.candidates import Candidate
from fleet_workers.models.capabilities import Capabilities, Lack, refused_lack
from fleet_workers.models.endpoint import Endpoint, Refusal
from fleet_workers.models.faults import classed, is_not_served, lacks_chat
from fleet_workers.models.messages import ChatRequest
from fleet_workers.models.streaming import ChatPieces, Pieces, ResponsePieces, collect

log = structlog.get_logger(__name__)

ModelApi = Literal["auto", "chat", "responses"]
_LEAST_SECONDS = 0.01


class _BuildBody(Protocol):
    def __call__(
        self,
        request: ChatRequest,
        model: str,
        most_tokens: int,
        lacks: Collection[Lack],
        *,
        stream: bool,
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """One of an endpoint's APIs."""

    path: str
    build_body: _BuildBody
    optional_parameters: Callable[[Mapping[str, Any]], dict[str, Lack]]
    read_answer: Callable[[object, ChatRequest, str], Answer]
    pieces: Callable[[], Pieces]


_CHAT = _Form(
    path=chat_completions.PATH,
    build_body=chat_completions.build_body,
    optional_parameters=chat_completions.optional_parameters,
    read_answer=chat_completions.read_answer,
    pieces=ChatPieces,
)
_RESPONSES = _Form(
    path=responses_api.PATH,
    build_body=responses_api.build_body,
    optional_parameters=responses_api.optional_parameters,
    read_answer=responses_api.read_answer,
    pieces=ResponsePieces,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How endpoints are asked.

    `api` auto is chat completions, unless a model turns out to be served by the Responses API
    alone. An answer has at most `most_tokens`. Replies are streamed where `stall_seconds`, the
    longest pause, is given, but not from endpoints whose streams do not tell what they took.
    """

    capabilities: Capabilities
    api: ModelApi = "auto"
    most_tokens: int = 4096
    stall_seconds: float | None = None

    def ask(
        self, endpoint: Endpoint, candidate: Candidate, request: ChatRequest, timeout_seconds: float
    ) -> Answer:
        """Ask once. Where something is refused that can be said in another way, it is said so.

        Raises:
            Unusable: The reply holds no answer.
            Broken: A stream ended early.
            FleetError: As `Endpoint.ask` and `classed` tell.
        """
        until = time.monotonic() + timeout_seconds
        known = self.capabilities.lacks(candidate)
        refusals: dict[Lack, Refusal] = {}
        while True:
            lacks = known | refusals.keys()
            streamed = self.stall_seconds is not None and Lack.STREAM_USAGE not in lacks
            form = self._form(lacks)
            most = self._most_tokens(request)
            body = form.build_body(request, candidate.model, most, lacks, stream=streamed)
            left = max(until - time.monotonic(), _LEAST_SECONDS)
            try:
                told = self._send(endpoint, form, body, left, streamed=streamed)
            except Refusal as refusal:
                lack = self._lack(refusal, form, body)
                if lack is None or lack in lacks:
                    refusal = _telling(refusal, refusals)
                    raise classed(refusal, candidate.model, endpoint.url) from refusal
                refusals[lack] = refusal
                continue
            break
        self._learn(candidate, refusals)
        answer = form.read_answer(told, request, f"{candidate.model} at {endpoint.url}")
        self._learn_from_usage(candidate, answer, body, streamed=streamed)
        return answer

    def write(self, candidate: Candidate, request: ChatRequest) -> tuple[str, dict[str, Any]]:
        """The path and the body in which a candidate would be asked, by what is known of it."""
        lacks = self.capabilities.lacks(candidate)
        form = self._form(lacks)
        most = self._most_tokens(request)
        return form.path, form.build_body(request, candidate.model, most, lacks, stream=False)

    def read(self, path: str, told: object, request: ChatRequest, where: str) -> Answer:
        """What is answered to a body that `write` gave.

        Raises:
            Unusable: There is no answer in it.
            PermanentError, Unavailable: It tells of an error.
        """
        form = _RESPONSES if path == _RESPONSES.path else _CHAT
        return form.read_answer(told, request, where)

    def _form(self, lacks: Collection[Lack]) -> _Form:
        auto = self.api == "auto" and Lack.CHAT_COMPLETIONS in lacks
        return _RESPONSES if auto or self.api == "responses" else _CHAT

    def _most_tokens(self, request: ChatRequest) -> int:
        return min(request.max_output_tokens or self.most_tokens, self.most_tokens)

    def _send(
        self,
        endpoint: Endpoint,
        form: _Form,
        body: Mapping[str, Any],
        seconds: float,
        *,
        streamed: bool,
    ) -> object:
        if not streamed or self.stall_seconds is None:
            return endpoint.ask(form.path, body, timeout_seconds=seconds)
        with endpoint.follow(
            form.path, body, timeout_seconds=seconds, stall_seconds=self.stall_seconds
        ) as events:
            return collect(events, form.pieces(), f"{body['model']} at {endpoint.url}")

    def _lack(self, refusal: Refusal, form: _Form, body: Mapping[str, Any]) -> Lack | None:
        if self.api == "auto" and form is _CHAT and lacks_chat(refusal):
            return Lack.CHAT_COMPLETIONS
        return refused_lack(
            refusal.status, refusal.parameter, str(refusal), form.optional_parameters(body)
        )

    def _learn(self, candidate: Candidate, refusals: Mapping[Lack, Refusal]) -> None:
        """Only now that the request has been taken without it: errors repeat what customers say."""
        if refusals:
            self.capabilities.learn(candidate, refusals.keys())
            for lack, refusal in refusals.items():
                words = str(refusal)[:200]
                log.info("model.lacks", model=str(candidate), lack=str(lack), words=words)

    def _learn_from_usage(
        self, candidate: Candidate, answer: Answer, body: Mapping[str, Any], *, streamed: bool
    ) -> None:
        """What an endpoint takes and does not heed shows in what it tells to have used."""
        if answer.usage is None:
            if streamed:
                self.capabilities.learn(candidate, [Lack.STREAM_USAGE])
            return
        for name in ("max_completion_tokens", "max_tokens"):
            if name in body and answer.usage.completion > body[name]:
                log.warning(
                    "model.limit_not_heeded",
                    model=str(candidate),
                    parameter=name,
                    limit=body[name],
                    tokens=answer.usage.completion,
                )
                self.capabilities.learn(candidate, [Lack(name)])


def _telling(refusal: Refusal, before: Mapping[Lack, Refusal]) -> Refusal:
    """Where neither API has the model, what the first one said tells more."""
    first = before.get(Lack.CHAT_COMPLETIONS)
    return first if first is not None and is_not_served(refusal) else refusal
