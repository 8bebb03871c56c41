"""The span of one call of a model, with the names that OpenTelemetry has for such calls."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from fleet_workers.models.candidates import OFFLINE_PREFIX, Candidate
from fleet_workers.models.messages import ChatReply, ChatRequest, Message
from fleet_workers.telemetry import span_names as names
from fleet_workers.telemetry import traces
from fleet_workers.telemetry.redaction import mask
from fleet_workers.telemetry.traces import NO_SPAN, Span

_PROVIDERS: Final = {
    "anthropic.com": "anthropic",
    "cohere.com": "cohere",
    "deepseek.com": "deepseek",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "moonshot.ai": "moonshot_ai",
    "openai.azure.com": "azure.ai.openai",
    "openai.com": "openai",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OFFLINE: Final = "agent_fleet"
_UNKNOWN: Final = "openai"  # as the convention asks for endpoints that only speak like it


def chat_span(candidate: Candidate, request: ChatRequest, url: str) -> Span:
    """The span to ask one candidate in, at an endpoint's URL."""
    tracing = traces.live()
    if tracing is None:
        return NO_SPAN
    parts = urlsplit(url)
    told: dict[str, traces.Value] = {
        names.OPERATION: names.CHAT,
        names.PROVIDER: provider_of(candidate.model, parts.hostname or ""),
        names.REQUEST_MODEL: candidate.model,
        names.CHAT_TIER: request.tier,
        names.SERVER_ADDRESS: parts.hostname or "",
        names.SERVER_PORT: parts.port or _DEFAULT_PORTS.get(parts.scheme, 0),
    }
    if request.max_output_tokens is not None:
        told[names.REQUEST_MAX_TOKENS] = request.max_output_tokens
    if tracing.captures_content:
        told[names.INPUT_MESSAGES] = mask(json.dumps(_in_parts(request.messages)))
    return traces.span(f"{names.CHAT} {candidate.model}", kind="client", attributes=told)


def note_reply(span: Span, reply: ChatReply) -> None:
    """Say on a call's span what came of it."""
    tracing = traces.live()
    if tracing is None:
        return
    told: dict[str, traces.Value] = {
        names.RESPONSE_MODEL: reply.model,
        names.FINISH_REASONS: [reply.finish_reason],
        names.INPUT_TOKENS: reply.prompt_tokens,
        names.OUTPUT_TOKENS: reply.completion_tokens,
    }
    if reply.cached_tokens:
        told[names.CACHED_TOKENS] = reply.cached_tokens
    if reply.cost_usd is not None:
        told[names.COST_USD] = float(reply.cost_usd)
    if tracing.captures_content:
        answer = {
            "role": "assistant",
            "content": reply.text,
            "tool_calls": [
                {"id": each.id, "function": {"name": each.name, "arguments": each.arguments}}
                for each in reply.tool_calls
            ],
        }
        parts = [{**_in_parts([answer])[0], "finish_reason": reply.finish_reason}]
        told[names.OUTPUT_MESSAGES] = mask(json.dumps(parts))
    span.set(told)


def provider_of(model: str, host: str) -> str:
    """What the convention calls who serves a model at this host."""
    if model.startswith(OFFLINE_PREFIX):
        return _OFFLINE
    for domain, provider in _PROVIDERS.items():
        if host == domain or host.endswith(f".{domain}"):
            return provider
    return _UNKNOWN


def _in_parts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages in the form that the convention's schema has for them."""
    return [{"role": each.get("role"), "parts": _parts(each)} for each in messages]


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if message.get("role") == "tool":
        told = {"id": message.get("tool_call_id"), "response": content}
        return [{"type": "tool_call_response", **told}]
    parts: list[dict[str, Any]] = [{"type": "text", "content": content}] if content else []
    for call in message.get("tool_calls") or ():
        function = call["function"]
        told = {"id": call.get("id"), "name": function["name"], "arguments": function["arguments"]}
        parts.append({"type": "tool_call", **told})
    return parts
