"""The yardstick: plain Celery tasks on the same servers, which keep nothing."""

import os
from typing import Any

import openai
from celery import Celery

QUEUE = "bare_bench"
NOTHING = "bare.nothing"
ASK = "bare.ask"

app = Celery("bare", broker=os.environ.get("BARE_BROKER_URL"))
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    task_default_queue_type="quorum",
    worker_detect_quorum_queues=True,
)
_clients: list[openai.OpenAI] = []


def _client() -> openai.OpenAI:
    if not _clients:
        _clients.append(openai.OpenAI(max_retries=0, timeout=60))
    return _clients[0]


@app.task(name=NOTHING)
def do_nothing(text: str) -> None:
    """Take a message and be done."""


@app.task(name=ASK)
def ask(messages: list[Any], tools: list[Any]) -> None:
    """Ask the model once."""
    _client().chat.completions.create(
        model="stub", messages=messages, tools=tools, tool_choice="auto"
    )
