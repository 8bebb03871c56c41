"""An endpoint that takes half a second and 5 ms for every token that it answers, and counts both.

It answers one request with one tool call, and several in one with a call for each.
"""

import asyncio
import json
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_FIRST_TOKEN_SECONDS = 0.5
_TOKEN_SECONDS = 0.005
_CHARACTERS_A_TOKEN = 4
_TOOL = "list_invoices"
_ARGUMENTS = json.dumps({"status": "unpaid", "limit": 10})


def main(port: int) -> None:
    """Serve until killed."""
    app = Starlette(routes=[Route("/v1/chat/completions", _complete, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_keep_alive=60)


async def _complete(request: Request) -> Response:
    raw = await request.body()
    body = json.loads(raw)
    message = _one() if body.get("tools") else _several(body["messages"][-1]["content"])
    told = len(json.dumps(message["tool_calls"] or message["content"])) // _CHARACTERS_A_TOKEN
    await asyncio.sleep(_FIRST_TOKEN_SECONDS + told * _TOKEN_SECONDS)
    usage = {"prompt_tokens": len(raw) // _CHARACTERS_A_TOKEN, "completion_tokens": told}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return JSONResponse({"model": "stub", "choices": [choice], "usage": usage})


def _one() -> dict[str, Any]:
    function = {"name": _TOOL, "arguments": _ARGUMENTS}
    return {"content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}


def _several(content: str) -> dict[str, Any]:
    calls = [{"name": _TOOL, "arguments": _ARGUMENTS}]
    results = [
        {"id": each["id"], "text": None, "calls": calls} for each in json.loads(content)["requests"]
    ]
    return {"content": json.dumps({"results": results}), "tool_calls": None}


if __name__ == "__main__":
    main(int(sys.argv[1]))
