"""The way to the models: asks a tier's candidates in order, behind breakers, and counts costs."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import structlog

from fleet_contracts.errors import (
    BreakerOpen,
    ConfigurationError,
    FleetError,
    TimedOut,
    TransientError,
)
from fleet_workers.models.answers import Answer, Unusable
from fleet_workers.models.asking import Asking
from fleet_workers.models.bulk.letter import Letter
from fleet_workers.models.candidates import OFFLINE_PREFIX, Candidate, Candidates, of_tier
from fleet_workers.models.capabilities import UNSERVED_SECONDS, Lack
from fleet_workers.models.chat_spans import chat_span, note_reply
from fleet_workers.models.endpoint import Address, Endpoint
from fleet_workers.models.messages import ChatReply, ChatRequest, Interrupted, Spent
from fleet_workers.models.prices import PriceList
from fleet_workers.models.streaming import Broken
from fleet_workers.models.usage import TokenUsage
from fleet_workers.resilience.breakers import Breakers

log = structlog.get_logger(__name__)

_BLIP_WAIT_SECONDS = 0.3
_LONGEST_BLIP_SECONDS = 0.5
"""A longer `Retry-After` is for the task to wait, which holds no slot."""
_LEAST_SECONDS = 0.05  # with less time left nothing is asked any more


class Gateway:
    """Asks models on one or more endpoints; safe to use from every slot.

    Nothing is asked again under one question that may have cost something: money is reserved for
    one answer.
    """

    def __init__(
        self,
        *,
        addresses: Sequence[Address],
        candidates: Candidates,
        breakers: Breakers,
        prices: PriceList,
        asking: Asking,
    ) -> None:
        self._endpoints = {each.name: Endpoint(each) for each in addresses}
        self._candidates = candidates
        self._breakers = breakers
        self._prices = prices
        self._asking = asking

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request: a short blip is tried once more, then the next candidate is asked.

        Raises:
            Interrupted: An answer was begun and is lost; what it took stands on the error.
            TimedOut: No answer came in time; what it took is not known.
            TransientError: All candidates are away, overloaded, or answered nonsense.
            PermanentError: The first one that works refuses this request.
            ConfigurationError: Each of them refuses our key, or has no such model.
        """
        until = time.monotonic() + request.timeout_seconds
        troubles: list[TransientError] = []
        misfits: list[ConfigurationError] = []
        for candidate in self._attempts(request, until, troubles):
            try:
                return self._guarded(candidate, request, until)
            except (Interrupted, TimedOut):
                raise
            except TransientError as error:
                log.info("model.away", model=str(candidate), error=str(error))
                troubles.append(error)
            except ConfigurationError as error:
                self._note_misfit(candidate, error)
                misfits.append(error)
            except FleetError as error:
                if not troubles and not misfits:
                    raise
                # What is asked in another's place must not end a task that the other could do.
                log.warning("model.fallback_refuses", model=str(candidate), error=str(error))
        if not troubles:
            raise misfits[0]
        raise _worst(troubles)

    def write(self, request: ChatRequest) -> Letter:
        """What the first candidate of the tier would be sent."""
        candidate = self._in_order(request.tier)[0]
        path, body = self._asking.write(candidate, request)
        return Letter(candidate=candidate, path=path, body=body)

    def read(self, told: object, letter: Letter, request: ChatRequest) -> ChatReply:
        """The answer to a letter that the provider's Batch API brought, at its price.

        Raises:
            Interrupted: There is none in it; what it took stands on the error.
            FleetError: It tells of an error.
        """
        where = f"{letter.candidate} by its Batch API"
        try:
            answer = self._asking.read(letter.path, told, request, where)
        except Unusable as error:
            raise self._interrupted(str(error), letter.candidate, error.usage, 0) from error
        reply = self._reply(answer, letter.candidate, 0.0)
        full_usd = reply.cost_usd
        cost_usd = self._cost_usd(letter.candidate, answer.usage, in_batch=True)
        saved_usd = None if full_usd is None or cost_usd is None else full_usd - cost_usd
        return replace(reply, source="batch_api", cost_usd=cost_usd, saved_usd=saved_usd)

    def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            endpoint.close()

    def _attempts(
        self, request: ChatRequest, until: float, troubles: list[TransientError]
    ) -> Iterator[Candidate]:
        """Whom to ask next, until somebody answers or the time is over."""
        for candidate in self._in_order(request.tier):
            if troubles and time.monotonic() + _LEAST_SECONDS >= until:
                return
            so_far = len(troubles)
            yield candidate
            wait_seconds = _blip_seconds(troubles[so_far:])
            if wait_seconds is None or time.monotonic() + wait_seconds + _LEAST_SECONDS >= until:
                continue
            time.sleep(wait_seconds)
            yield candidate

    def _in_order(self, tier: str) -> Sequence[Candidate]:
        """A tier's candidates; those that their endpoint does not serve come last."""
        candidates = of_tier(self._candidates, tier)
        if len(candidates) == 1:
            return candidates
        lacks = self._asking.capabilities.lacks
        return sorted(candidates, key=lambda each: Lack.SERVICE in lacks(each))

    def _note_misfit(self, candidate: Candidate, error: ConfigurationError) -> None:
        """A setting is wrong. Others may answer meanwhile, but an operator must hear of it."""
        log.error("model.misconfigured", model=str(candidate), error=str(error))
        self._asking.capabilities.learn(candidate, [Lack.SERVICE], kept_seconds=UNSERVED_SECONDS)

    def _guarded(self, candidate: Candidate, request: ChatRequest, until: float) -> ChatReply:
        return self._breakers.call(
            f"model {candidate}", lambda: self._ask(candidate, request, until)
        )

    def _ask(self, candidate: Candidate, request: ChatRequest, until: float) -> ChatReply:
        begun = time.monotonic()
        endpoint = self._endpoints[candidate.endpoint]
        with chat_span(candidate, request, endpoint.url) as span:
            try:
                answer = self._asking.ask(endpoint, candidate, request, until - begun)
            except Unusable as error:
                raise self._interrupted(str(error), candidate, error.usage, 0) from error
            except Broken as error:
                pieces = error.pieces
                words = str(error)
                raise self._interrupted(words, candidate, pieces.usage, pieces.count) from error
            reply = self._reply(answer, candidate, time.monotonic() - begun)
            note_reply(span, reply)
            return reply

    def _interrupted(
        self, words: str, candidate: Candidate, usage: TokenUsage | None, pieces: int
    ) -> Interrupted:
        spent = Spent(
            model=str(candidate),
            prompt_tokens=usage.prompt if usage else 0,
            completion_tokens=max(usage.completion if usage else 0, pieces),
            cost_usd=self._cost_usd(candidate, usage),
        )
        log.warning(
            "model.interrupted",
            model=str(candidate),
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            error=words,
        )
        return Interrupted(words, spent=spent)

    def _reply(self, answer: Answer, candidate: Candidate, seconds: float) -> ChatReply:
        usage = answer.usage or TokenUsage(prompt=0, completion=0)
        model = answer.model or candidate.model
        return ChatReply(
            text=answer.text,
            tool_calls=answer.tool_calls,
            model=model,
            finish_reason=answer.finish_reason,
            prompt_tokens=usage.prompt,
            completion_tokens=usage.completion,
            cached_tokens=usage.cached,
            duration_seconds=seconds,
            offline=model.startswith(OFFLINE_PREFIX),
            cost_usd=self._cost_usd(candidate, answer.usage),
            endpoint=candidate.endpoint,
            candidate=str(candidate),
        )

    def _cost_usd(
        self, candidate: Candidate, usage: TokenUsage | None, *, in_batch: bool = False
    ) -> Decimal | None:
        told = usage or TokenUsage(prompt=0, completion=0)
        return self._prices.cost_usd(
            str(candidate),
            input_tokens=told.prompt,
            output_tokens=told.completion,
            cached_tokens=told.cached,
            in_batch=in_batch,
        )


def _blip_seconds(troubles: Sequence[TransientError]) -> float | None:
    """How long to wait before the same candidate is asked once more, or None where not at all."""
    if not troubles or isinstance(troubles[0], BreakerOpen):
        return None
    asked = troubles[0].retry_after_seconds
    if asked is not None:
        return asked if asked <= _LONGEST_BLIP_SECONDS else None
    return random.uniform(_BLIP_WAIT_SECONDS / 2, _BLIP_WAIT_SECONDS)  # noqa: S311 jitter


def _worst(troubles: Sequence[TransientError]) -> TransientError:
    """What a task waits for: the first candidate that was asked, or the first breaker to close."""
    asked = [each for each in troubles if each.counts_attempt]
    if asked:
        return asked[0]
    return min(troubles, key=lambda each: each.retry_after_seconds or 0.0)
