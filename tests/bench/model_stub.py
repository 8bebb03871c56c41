"""An OpenAI-compatible endpoint that answers every request the same way after a set time."""

import asyncio
import json
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_CALL = {
    "id": "call_0",
    "type": "function",
    "function": {
        "name": "answer",
        "arguments": json.dumps({"text": "Done.", "confidence": 0.95}),
    },
}
_COMPLETION = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 0,
    "model": "stub",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "tool_calls": [_CALL]},
        }
    ],
    "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
}


def main(port: int, delay_seconds: float) -> None:
    """Serve until killed."""
    body = json.dumps(_COMPLETION)

    async def complete(request: Request) -> Response:
        await request.body()
        await asyncio.sleep(delay_seconds)
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
