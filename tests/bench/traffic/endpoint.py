"""An OpenAI-compatible endpoint, a model a tier: it answers by classifiers and keeps a bill."""

import asyncio
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from bench.traffic.classifiers import Classifier
from bench.traffic.messages import answer_for
from support.asgi_server import serving

_WORD: Final = re.compile(r"\w{1,6}|[^\w\s]")  # near what tokenizers make of English
_NUMBER: Final = re.compile(r"\b[A-Z]{0,4}-?\d[\w-]{3,}\b")
_LEAST_CACHED: Final = 1024  # tokens; providers keep no shorter prefix
_SECONDS_A_CALL: Final = 0.25
_SECONDS_A_TOKEN: Final = 0.002

PRICES: Final[Mapping[str, tuple[str, str, str]]] = {
    "small": ("0.15", "0.075", "0.60"),
    "medium": ("0.40", "0.20", "1.60"),
    "large": ("2.50", "1.25", "10.00"),
}
"""US dollars for a million tokens of input, of input from the prefix cache, and of output."""

PRICE_FILE: Final = "as_of = 2026-11-01\n" + "".join(
    f'[models."bench-{tier}"]\ninput_usd = {told[0]}\ncached_input_usd = {told[1]}\n'
    f"output_usd = {told[2]}\n"
    for tier, told in PRICES.items()
)


@dataclass
class Bill:
    """What the endpoint would charge: it counts for itself, whatever the fleet believes."""

    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, tier: str, usage: Mapping[str, int]) -> None:
        """Count a call."""
        fresh, cached, output = map(Decimal, PRICES[tier])
        with self._lock:
            self.calls[tier] += 1
            self.prompt_tokens += usage["prompt"]
            self.cached_tokens += usage["cached"]
            self.completion_tokens += usage["completion"]
            self.cost_usd += (
                fresh * (usage["prompt"] - usage["cached"])
                + cached * usage["cached"]
                + output * usage["completion"]
            ) / 1_000_000


class _Models:
    def __init__(self, classifiers: Mapping[str, Classifier]) -> None:
        self.bill = Bill()
        self._classifiers = classifiers
        self._heads: set[str] = set()

    def completion(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A chat completion, in the form that the request asks for."""
        tier = str(body["model"]).removeprefix("bench-")
        message = self._message(tier, body)
        usage = self._usage(body, message)
        self.bill.add(tier, usage)
        return {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls" if "tool_calls" in message else "stop",
                    "message": {"role": "assistant", "content": None, **message},
                }
            ],
            "usage": {
                "prompt_tokens": usage["prompt"],
                "completion_tokens": usage["completion"],
                "total_tokens": usage["prompt"] + usage["completion"],
                "prompt_tokens_details": {"cached_tokens": usage["cached"]},
            },
        }

    def _message(self, tier: str, body: Mapping[str, Any]) -> dict[str, Any]:
        text = str(body["messages"][-1]["content"])
        if not body.get("tools"):  # several requests in one
            results = [
                {"id": each["id"], "text": None, "calls": [self._answer(tier, each["request"])]}
                for each in json.loads(text)["requests"]
            ]
            return {"content": json.dumps({"results": results})}
        return {
            "tool_calls": [
                {"id": "call_0", "type": "function", "function": self._answer(tier, text)}
            ]
        }

    def _answer(self, tier: str, text: str) -> dict[str, str]:
        guess = self._classifiers[tier].guess(text)
        found = _NUMBER.search(text)
        words = answer_for(guess.intent, found.group() if found else "")
        arguments = {"text": words, "confidence": round(guess.probability, 4)}
        return {"name": "answer", "arguments": json.dumps(arguments)}

    def _usage(self, body: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, int]:
        system = str(body["messages"][0]["content"])
        if body.get("tools"):
            system = system.rpartition("\n")[0]  # the last line says whom it is about
        head = json.dumps([body.get("tools"), system])
        rest = json.dumps([body["messages"][1:], body.get("response_format")])
        head_tokens = count_tokens(head)
        digest = sha256(f"{body['model']} {head}".encode()).hexdigest()
        cached = head_tokens if digest in self._heads and head_tokens >= _LEAST_CACHED else 0
        self._heads.add(digest)
        return {
            "prompt": head_tokens + count_tokens(rest),
            "cached": cached,
            "completion": count_tokens(json.dumps(message)),
        }


def count_tokens(text: str) -> int:
    """About as many tokens as common tokenizers make of a text."""
    return len(_WORD.findall(text))


@contextmanager
def serve_models(classifiers: Mapping[str, Classifier]) -> Iterator[tuple[str, Bill]]:
    """Serve until the block ends; gives the base URL without `/v1`, and the running bill."""
    models = _Models(classifiers)
    app = FastAPI(title="bench models")

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> JSONResponse:
        told = models.completion(json.loads(await request.body()))
        tokens = told["usage"]["completion_tokens"]
        await asyncio.sleep(_SECONDS_A_CALL + tokens * _SECONDS_A_TOKEN)
        return JSONResponse(told)

    with serving(app) as url:
        yield url, models.bill


def tiers(names: Sequence[str]) -> dict[str, str]:
    """The settings that name the models."""
    return {f"FLEET_MODEL_{name.upper()}": f"bench-{name}" for name in names}
