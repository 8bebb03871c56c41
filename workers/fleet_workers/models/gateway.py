"""The only importer of openai: asks an OpenAI-compatible endpoint and classes what goes wrong."""

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from fleet_contracts.errors import (
    ConfigurationError,
    FleetError,
    PermanentError,
    TimedOut,
    TransientError,
    Unavailable,
)
from fleet_workers.models.messages import ChatReply, ChatRequest, ToolCall
from fleet_workers.models.prices import Prices, load_prices
from fleet_workers.resilience.breakers import Breakers
from fleet_workers.resilience.retry_after import read_retry_after

OFFLINE_PREFIX = "offline-"
_BLIP_WAIT_SECONDS = 0.3
_MAX_CONNECTIONS = 200  # more than the slots of a process, so that no slot waits for another


class Gateway:
    """Chat completions over one endpoint; safe to use from every slot.

    `models` maps a tier to a model name. The SDK's own retries are off: they would neither be
    counted nor stop at the task's time limit.
    """

    def __init__(
        self,
        *,
        base_url: str | None,
        api_key: str,
        models: Mapping[str, str],
        breakers: Breakers,
        prices: Prices | None = None,
    ) -> None:
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=api_key,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(
                limits=_limits(), timeout=openai.Timeout(60.0, connect=5.0)
            ),
        )
        self._models = models
        self._breakers = breakers
        self._prices = prices or load_prices(None)

    def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request; a short blip is tried once more.

        Raises:
            TransientError: The endpoint is away, slow, overloaded, or answered nonsense.
            PermanentError: It refuses this request.
            ConfigurationError: It refuses our key, or has no such model.
        """
        try:
            return self._guarded(request)
        except TransientError as error:
            if error.retry_after_seconds is not None or isinstance(error, TimedOut):
                raise
        time.sleep(random.uniform(_BLIP_WAIT_SECONDS / 2, _BLIP_WAIT_SECONDS))  # noqa: S311 jitter
        return self._guarded(request)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _guarded(self, request: ChatRequest) -> ChatReply:
        model = self._models.get(request.tier) or self._models["small"]
        return self._breakers.call(f"model {model}", lambda: self._ask(model, request))

    def _ask(self, model: str, request: ChatRequest) -> ChatReply:
        begun = time.monotonic()
        try:
            completion = self._client.chat.completions.create(
                model=model,
                messages=request.messages,  # type: ignore[arg-type]
                timeout=request.timeout_seconds,
                **_tool_arguments(request),
            )
        except openai.OpenAIError as error:
            raise _classed(error, self._client.base_url, model) from error
        except ValueError as error:  # a body that is not JSON
            raise Unavailable(f"{model} answered something that is not JSON.") from error
        reply = _read(completion, model, time.monotonic() - begun)
        cost_usd = self._prices.cost_usd(
            model, input_tokens=reply.prompt_tokens, output_tokens=reply.completion_tokens
        )
        return replace(reply, cost_usd=cost_usd)


def _limits() -> Any:
    import httpx2  # noqa: PLC0415 the SDK's own transport library, needed for this one value

    return httpx2.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=100)


def _tool_arguments(request: ChatRequest) -> dict[str, Any]:
    return {"tools": request.tools, "tool_choice": "auto"} if request.tools else {}


def _read(completion: ChatCompletion, model: str, seconds: float) -> ChatReply:
    """Take the reply apart. Servers in the wild leave out what their schema promises."""
    try:
        choice = completion.choices[0]
        message = choice.message
        calls = tuple(
            ToolCall(
                id=call.id or f"call_{index}",
                name=call.function.name,
                arguments=call.function.arguments or "{}",
            )
            for index, call in enumerate(message.tool_calls or ())
            if call.type == "function" and call.function is not None
        )
        usage = completion.usage
        return ChatReply(
            text=message.content,
            tool_calls=calls,
            model=completion.model or model,
            finish_reason=choice.finish_reason or "stop",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            duration_seconds=seconds,
            offline=(completion.model or model).startswith(OFFLINE_PREFIX),
        )
    except (AttributeError, IndexError, TypeError) as error:
        raise Unavailable(f"{model} answered without a usable choice.") from error


def _classed(error: openai.OpenAIError, address: object, model: str) -> FleetError:
    match error:
        case openai.APITimeoutError():
            found: FleetError = TimedOut(f"{model} at {address} did not answer in time.")
        case openai.APIConnectionError():
            found = Unavailable(f"{model} at {address} cannot be reached: check OPENAI_BASE_URL.")
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            found = ConfigurationError(f"{address} refuses the key: check OPENAI_API_KEY.")
        case openai.NotFoundError():
            found = ConfigurationError(f"{address} has no model {model}: check FLEET_MODEL_….")
        case openai.RateLimitError() | openai.InternalServerError():
            found = Unavailable(
                f"{model} at {address} answered {error.status_code}.",
                retry_after_seconds=read_retry_after(error.response.headers),
            )
        case openai.APIStatusError():
            found = PermanentError(f"{model} refused the request: {error.message}")
        case _:
            found = Unavailable(f"{model} at {address} answered nonsense: {error}.")
    return found
