"""The yardstick: a plain Celery task that makes the same model call and keeps nothing."""

import os
from typing import Any

import openai
from celery import Celery

app = Celery("bare", broker=os.environ.get("BARE_BROKER_URL"))
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    task_default_queue="bare_bench",
    task_default_queue_type="quorum",
    worker_detect_quorum_queues=True,
    broker_transport_options={"confirm_publish": True},
)
_clients: list[openai.OpenAI] = []


def _client() -> openai.OpenAI:
    if not _clients:
        _clients.append(openai.OpenAI(max_retries=0, timeout=60))
    return _clients[0]


@app.task(name="bare.ask")
def ask(messages: list[Any], tools: list[Any]) -> None:
    """Ask the model once."""
    _client().chat.completions.create(
        model="stub", messages=messages, tools=tools, tool_choice="auto"
    )
