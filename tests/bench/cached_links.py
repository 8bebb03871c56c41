"""A question, a model and a store for measuring what the cache decides: nothing leaves memory."""

from collections import defaultdict
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import create_engine

from fleet_workers.models.asked_for import AskedFor, CacheRules
from fleet_workers.models.caching.shelf import Shelf
from fleet_workers.models.messages import ChatReply, ChatRequest
from fleet_workers.store.plan_cache import ALIKE_LIMIT, Alike, Entry, Found, Meaning

_SPACE = UUID(int=6)


def question(text: str, number: int, rules: CacheRules) -> ChatRequest:
    """Each request is of another customer, so that none is the very same as one before."""
    customer = f"cus_{number:06d}"
    about = f"\nThe customer is {customer}."
    head = "You help the customers of this company."
    return ChatRequest(
        messages=[
            {"role": "system", "content": head + about},
            {"role": "user", "content": text},
        ],
        tools=[],
        asked_for=AskedFor(
            task_id=str(uuid5(_SPACE, customer)),
            tenant="acme",
            agent="support",
            release="support@v1",
            customer=customer,
            priority="normal",
            text=text,
            is_first=True,
            flagged=False,
            about=about,
            caching=rules,
        ),
    )


class Repeats:
    """A model that says what it was asked, so that a stored reply shows whose it was."""

    def complete(self, request: ChatRequest) -> ChatReply:
        return ChatReply(
            text=request.messages[-1]["content"],
            tool_calls=(),
            model="repeats",
            finish_reason="stop",
            prompt_tokens=400,
            completion_tokens=40,
            duration_seconds=0.0,
            cost_usd=Decimal("0.0001"),
        )


class InMemory(Shelf):
    """Keeps entries as the store does, by guard and the newest first."""

    def __init__(self) -> None:
        super().__init__(create_engine("postgresql+psycopg://unused"))
        self._entries: dict[bytes, Entry] = {}
        self._alike: defaultdict[tuple[bytes, str], list[Alike]] = defaultdict(list)

    def find(self, *, key: bytes, **_: object) -> Found | None:
        found = self._entries.get(key)
        if found is None:
            return Found(data_version=0)
        return Found(data_version=0, reply=found.reply, task_id=found.task_id)

    def find_alike(self, *, meaning: Meaning, **_: object) -> list[Alike]:
        return self._alike[meaning.guard, meaning.embedder][: -ALIKE_LIMIT - 1 : -1]

    def read_reply(self, *, key: bytes, **_: object) -> Any:
        return self._entries[key].reply

    def keep(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        if entry.meaning is not None:
            self._alike[entry.meaning.guard, entry.meaning.embedder].append(
                Alike(
                    key=entry.key,
                    vector=entry.meaning.vector,
                    words=entry.meaning.words,
                    task_id=entry.task_id,
                )
            )
