"""Names of spans, their attributes and events, in one place.

Sources: OpenTelemetry semantic conventions 1.43 (messaging, HTTP, errors) and those for generative
AI, release 0.1 with `plan`. What they have no name for begins with `fleet.`.
"""

from typing import Final

# Operations: the first word of a span's name.
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"
INVOKE_AGENT: Final = "invoke_agent"
PLAN: Final = "plan"
PROCESS: Final = "process"
REVIEW: Final = "review"
SEND: Final = "send"

# Generative AI.
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_VERSION: Final = "gen_ai.agent.version"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
OPERATION: Final = "gen_ai.operation.name"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
TOOL_TYPE: Final = "gen_ai.tool.type"

# Messaging.
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_OPERATION: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_ROUTING_KEY: Final = "messaging.rabbitmq.destination.routing_key"
MESSAGING_SYSTEM: Final = "messaging.system"

# General.
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# The fleet's own.
ATTEMPTS: Final = "fleet.attempts"
CHAT_TIER: Final = "fleet.model.tier"
CONFIDENCE: Final = "fleet.confidence"
COST_USD: Final = "fleet.cost_usd"
DELIVERIES: Final = "fleet.deliveries"
EPOCH: Final = "fleet.epoch"
GATE: Final = "fleet.gate"
INTERRUPTED_BY: Final = "fleet.interrupted_by"
LINK_REASON: Final = "fleet.link.reason"
MODEL_SOURCE: Final = "fleet.model.source"
OUTCOME: Final = "fleet.outcome"
REROUTED_TO: Final = "fleet.rerouted_to"
REVIEW_KIND: Final = "fleet.review.kind"
REVIEW_RULING: Final = "fleet.review.ruling"
RULING: Final = "fleet.ruling"
STEP: Final = "fleet.step"
STEP_KIND: Final = "fleet.step.kind"
STEP_NAME: Final = "fleet.step.name"
TASK_ID: Final = "fleet.task.id"
TASK_STATE: Final = "fleet.task.state"
TENANT: Final = "fleet.tenant"
TOOL_EFFECT: Final = "fleet.tool.effect"
TOOL_OUTCOME: Final = "fleet.tool.outcome"

# Events on the span of an agent's run or of a tool call.
GATE_EVENT: Final = "fleet.gate"
STEP_EVENT_PREFIX: Final = "fleet."
