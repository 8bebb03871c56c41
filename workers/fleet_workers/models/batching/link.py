"""The link of the chain of models that lets requests in flight together share one call."""

import copy
import math
import secrets
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from hashlib import sha256

import structlog

from fleet_contracts.errors import FleetError, PermanentError, TimedOut
from fleet_workers.models.asked_for import AskedFor
from fleet_workers.models.batching.collector import Batch, Collector, GoAlone, Room, Seat, Told
from fleet_workers.models.batching.memory import ALONE, Company, Memory
from fleet_workers.models.batching.prompt import BatchPrompt, build_prompt, head_of, words_of
from fleet_workers.models.batching.reply import Unfit, read_results
from fleet_workers.models.batching.settling import Sharing
from fleet_workers.models.messages import (
    AskAgain,
    ChatModel,
    ChatReply,
    ChatRequest,
    Interrupted,
)
from fleet_workers.models.prices import PriceList
from fleet_workers.telemetry.meters import BATCH_SIZE

log = structlog.get_logger(__name__)

_BYTES_A_TOKEN = 4  # of ordinary text
_COMPANY_WAIT_SECONDS = 0.5  # those of a half come back as soon as their shares are settled
_GRACE_SECONDS = 2.0  # the leader has the same time, and then tells the others


class Batched:
    """A `ChatModel` that asks `model` for one or for several; safe to use from every slot.

    Only first questions whose agent's file allows it share, and none that is flagged or that
    holds personal data. `most_tokens` tells more than the tokens of a request: it is what is
    reserved for it, and what its share of a call must not pass.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        prices: PriceList,
        most_tokens: Callable[[ChatRequest], int],
    ) -> None:
        self._model = model
        self._prices = prices
        self._most_tokens = most_tokens
        self._collector = Collector()
        self._memory = Memory()

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer a request, alone or with others.

        Raises:
            AskAgain: The shared answer is of no use for this one: its share is spent, and the
                same request, asked again under another reservation, shares with fewer or nobody.
            FleetError: As the gateway tells; what a lost answer took is shared, too.
        """
        asked = request.asked_for
        if asked is None or not _may_share(request, asked):
            return self._model.complete(request)
        company = self._memory.take(asked.task_id)
        group = _group(request, asked)
        goes_alone = self._memory.is_given_up(group) if company is None else company.size == 1
        if goes_alone:
            return self._model.complete(request)
        return self._complete_with_others(request, asked, group, company)

    def _complete_with_others(
        self, request: ChatRequest, asked: AskedFor, group: Hashable, company: Company | None
    ) -> ChatReply:
        rules, wait_seconds = asked.batching, asked.batching.longest_wait_seconds
        if company is not None:
            wait_seconds = max(wait_seconds, _COMPANY_WAIT_SECONDS)
        room = Room(
            most=rules.most,
            most_bytes=rules.most_tokens * _BYTES_A_TOKEN,
            longest_wait_seconds=min(wait_seconds, request.timeout_seconds / 4),
            company=company.size if company else 1,
        )
        key = (group, company.part if company else None)
        size = len(words_of(request).encode("utf-8", "replace"))
        begun = time.monotonic()
        seat = self._collector.take_seat(key, request, size, room)
        if seat.place == 0:
            told = self._lead(seat.batch, group)[0]
        else:
            told = _wait(seat, request.timeout_seconds + _GRACE_SECONDS)
        if isinstance(told, GoAlone):
            left = max(0.0, request.timeout_seconds - (time.monotonic() - begun))
            return self._model.complete(_within(request, left))
        if isinstance(told, Exception):
            raise copy.copy(told)  # each slot adds its own traceback
        return told

    def _lead(self, batch: Batch, group: Hashable) -> list[Told]:
        """Ask for all; whatever happens, every member is told."""
        told: list[Told] = []
        begun = time.monotonic()
        try:
            members = self._collector.wait_for_company(batch)
            BATCH_SIZE.observe(len(members))
            told = self._ask(members, group, waited_seconds=time.monotonic() - begun)
        finally:
            lost = Interrupted("The slot that asked for several requests was lost.")
            self._collector.tell(batch, told or [lost] * len(batch.members))
        return told

    def _ask(
        self, members: Sequence[ChatRequest], group: Hashable, *, waited_seconds: float
    ) -> list[Told]:
        left = min(each.timeout_seconds for each in members) - waited_seconds
        if len(members) == 1:
            return [self._model.complete(_within(members[0], left))]
        prompt = build_prompt(members)
        sharing = Sharing(
            prompt,
            self._prices,
            most_tokens=self._most_tokens(prompt.request),
            most_tokens_alone=[self._most_tokens(each) for each in members],
        )
        if not sharing.is_reserved:
            return [GoAlone()] * len(members)
        try:
            return self._ask_for_all(prompt, sharing, members, group, left)
        except Exception:
            # What shares a call must not fail of it: it is asked alone, and this one is paid.
            log.exception("model.batch_failed", members=len(members))
            self._remember(members, [ALONE] * len(members))
            return [AskAgain("A shared call failed.") for _ in members]

    def _ask_for_all(
        self,
        prompt: BatchPrompt,
        sharing: Sharing,
        members: Sequence[ChatRequest],
        group: Hashable,
        seconds: float,
    ) -> list[Told]:
        try:
            most = sharing.most_output_tokens(prompt.request.max_output_tokens)
            request = replace(prompt.request, max_output_tokens=most, timeout_seconds=seconds)
            reply = self._model.complete(request)
        except PermanentError as error:
            # Nothing was answered, and it may be about one of them, or the length of all.
            self._note_failure(members, str(error), group)
            return [*sharing.of_refused(str(error))]
        except Interrupted as error:
            self._remember(members, _halves(members))
            return [*sharing.of_lost(error)]
        except FleetError as error:
            if isinstance(error, TimedOut):
                self._remember(members, _halves(members))
            return [error] * len(members)
        try:
            results = read_results(reply, prompt, members)
        except Unfit as fault:
            self._note_failure(members, str(fault), group, alone=fault.alone)
            return [*sharing.of_unusable(reply, str(fault))]
        told: list[Told] = [*sharing.of_reply(reply, results)]
        refused = [each for each, result in zip(members, results, strict=True) if result.fault]
        self._memory.note(group, worked=2 * len(refused) <= len(members))
        self._remember(refused, [ALONE] * len(refused))
        if refused:
            log.info("model.batch_members_refused", members=len(members), refused=len(refused))
        return told

    def _note_failure(
        self, members: Sequence[ChatRequest], reason: str, group: Hashable, *, alone: bool = False
    ) -> None:
        log.warning("model.batch_unusable", members=len(members), reason=reason[:200])
        self._memory.note(group, worked=False)
        self._remember(members, [ALONE] * len(members) if alone else _halves(members))

    def _remember(self, members: Sequence[ChatRequest], companies: Sequence[Company]) -> None:
        for member, company in zip(members, companies, strict=True):
            if member.asked_for is not None:
                self._memory.remember(member.asked_for.task_id, company)


def _may_share(request: ChatRequest, asked: AskedFor) -> bool:
    return (
        asked.batching.most > 1
        and asked.is_first
        and not asked.flagged
        and not asked.personal
        and request.answer_schema is None
        and head_of(request) is not None
    )


def _group(request: ChatRequest, asked: AskedFor) -> Hashable:
    fixed = sha256(repr((head_of(request), request.tools)).encode()).digest()
    return (
        asked.tenant,
        asked.agent,
        asked.release,
        request.tier,
        # No member may cut the others' time to less than half.
        math.frexp(request.timeout_seconds)[1],
        request.max_output_tokens,
        request.parallel_tool_calls,
        fixed,
    )


def _wait(seat: Seat, seconds: float) -> Told:
    if not seat.batch.is_told.wait(seconds):
        return TimedOut("The call that this request shared did not end in time.")
    return seat.batch.told[seat.place]


def _within(request: ChatRequest, seconds: float) -> ChatRequest:
    return replace(request, timeout_seconds=seconds)


def _halves(members: Sequence[ChatRequest]) -> list[Company]:
    middle = (len(members) + 1) // 2
    return [
        ALONE if size == 1 else part
        for size, part in (
            (size, Company(part=secrets.token_hex(8), size=size))
            for size in (middle, len(members) - middle)
        )
        for _ in range(size)
    ]
