"""What a user tests an agent with: a model that follows a script, and runs without servers."""

from fleet_workers.store.memory_journal import MemoryJournal
from fleet_workers.testing.agent_run import AgentRun, run_agent
from fleet_workers.testing.model import ScriptedModel
from fleet_workers.testing.model_server import ScriptedServer
from fleet_workers.testing.replies import (
    Reply,
    answer,
    ask,
    call,
    calls,
    fail,
    garbage,
    hand_over,
    say,
    stall,
)
from fleet_workers.testing.tool_call import agent_tool, call_tool, close_servers
from fleet_workers.testing.tools import MadeCall

__all__ = [
    "AgentRun",
    "MadeCall",
    "MemoryJournal",
    "Reply",
    "ScriptedModel",
    "ScriptedServer",
    "agent_tool",
    "answer",
    "ask",
    "call",
    "call_tool",
    "calls",
    "close_servers",
    "fail",
    "garbage",
    "hand_over",
    "run_agent",
    "say",
    "stall",
]
