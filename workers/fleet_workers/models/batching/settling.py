"""What each member of a batch is told and what it pays, however the shared call ended."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fleet_workers.models.batching.prompt import BatchPrompt
from fleet_workers.models.batching.reply import Result
from fleet_workers.models.batching.shares import input_weights, most_together, split, split_usd
from fleet_workers.models.messages import AskAgain, ChatReply, Interrupted, Spent
from fleet_workers.models.prices import PriceList


class Sharing:
    """The shares of one call: of its input, a member's own words and an equal part of the rest.

    `most_tokens` and `most_tokens_alone` tell more than the tokens of the shared request and of
    each member's own, which is what was reserved.
    """

    def __init__(
        self,
        prompt: BatchPrompt,
        prices: PriceList,
        *,
        most_tokens: int,
        most_tokens_alone: Sequence[int],
    ) -> None:
        self._prices = prices
        self._most_tokens = most_tokens
        self._alone = most_tokens_alone
        self._weights = input_weights(prompt.item_bytes, most_tokens)
        self._number = len(prompt.ids)

    @property
    def is_reserved(self) -> bool:
        """Whether no member can pay more than was reserved for it.

        A member pays the same part of the output as of the input; `most_output_tokens` bounds it.
        """
        return all(weight <= most for weight, most in zip(self._weights, self._alone, strict=True))

    def most_output_tokens(self, alone: int | None) -> int | None:
        """The most that all answers may have together, where one may have so many `alone`."""
        return None if alone is None else most_together(alone, self._weights)

    def of_reply(self, reply: ChatReply, results: Sequence[Result]) -> list[ChatReply | AskAgain]:
        """A reply of its own for each, or where its result is of no use, the word to ask again."""
        output = split(reply.completion_tokens, [each.size for each in results])
        batch = secrets.token_hex(8)
        told: list[ChatReply | AskAgain] = []
        for place, (result, spent) in enumerate(
            zip(results, self._spent(reply, output), strict=True)
        ):
            if result.fault is not None:
                told.append(AskAgain(f"A shared answer is of no use: {result.fault}", spent=spent))
                continue
            told.append(
                replace(
                    reply,
                    text=result.text,
                    tool_calls=result.calls,
                    finish_reason="tool_calls" if result.calls else "stop",
                    prompt_tokens=spent.prompt_tokens,
                    completion_tokens=spent.completion_tokens,
                    cached_tokens=self._cached(reply)[place],
                    cost_usd=spent.cost_usd,
                    source="batch",
                    saved_usd=self._saved_usd(reply, place, spent),
                    provenance={"batch": batch, "members": self._number},
                )
            )
        return told

    def of_unusable(self, reply: ChatReply, reason: str) -> list[AskAgain]:
        """Everybody pays for an answer that is of no use to anybody, and asks again."""
        shares = self._spent(reply, split(reply.completion_tokens, self._weights))
        return [AskAgain(f"A shared answer is of no use: {reason}", spent=each) for each in shares]

    def of_refused(self, reason: str) -> list[AskAgain]:
        """The shared request was refused, which costs nothing."""
        nothing = Spent(cost_usd=Decimal(0))
        return [AskAgain(f"A shared request was refused: {reason}", spent=nothing)] * self._number

    def of_lost(self, error: Interrupted) -> list[Interrupted]:
        """Everybody pays for an answer that was begun and did not arrive."""
        output = split(error.spent.completion_tokens, self._weights)
        return [Interrupted(str(error), spent=each) for each in self._spent(error.spent, output)]

    def _spent(self, whole: ChatReply | Spent, output: Sequence[int]) -> list[Spent]:
        told = split(whole.prompt_tokens, self._weights)
        costs = split_usd(whole.cost_usd, self._weights)
        model = whole.model if isinstance(whole, Spent) else whole.candidate or whole.model
        return [
            Spent(
                model=model,
                source="batch",
                prompt_tokens=prompt,
                completion_tokens=completion,
                cost_usd=cost_usd,
            )
            for prompt, completion, cost_usd in zip(told, output, costs, strict=True)
        ]

    def _cached(self, reply: ChatReply) -> list[int]:
        return split(reply.cached_tokens, split(reply.prompt_tokens, self._weights))

    def _saved_usd(self, reply: ChatReply, place: int, spent: Spent) -> Decimal | None:
        """What a call of its own would have cost more, its input counted in the same measure."""
        if spent.cost_usd is None or reply.candidate is None:
            return None
        part: dict[str, Any] = {
            name: tokens * self._alone[place] // self._most_tokens
            for name, tokens in (
                ("input_tokens", reply.prompt_tokens),
                ("cached_tokens", reply.cached_tokens),
            )
        }
        alone_usd = self._prices.cost_usd(
            reply.candidate, output_tokens=spent.completion_tokens, **part
        )
        return None if alone_usd is None else alone_usd - spent.cost_usd
