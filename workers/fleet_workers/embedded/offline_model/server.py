"""Serves the offline model over HTTP in the form of OpenAI's API."""

import json
from collections.abc import Iterator
from hashlib import sha256

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from fleet_workers.embedded.offline_model.model import OfflineModel
from fleet_workers.embedded.offline_model.wire import (
    BadRequest,
    ChatBody,
    Step,
    chunks,
    completion,
    error_body,
    model_list,
    parse_body,
)

_MAX_BODY_BYTES = 16 * 1024 * 1024
_INVALID = "invalid_request_error"


def create_app() -> FastAPI:
    """The server as an ASGI application: chat completions, the model list and /healthz.

    A body that is no chat request gets 400 (413 over 16 MiB) and an error in OpenAI's form.
    """
    app = FastAPI(title="Offline model", openapi_url=None, docs_url=None, redoc_url=None)
    model = OfflineModel()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        raw = await request.body()
        if len(raw) > _MAX_BODY_BYTES:
            message = f"The body is over {_MAX_BODY_BYTES:,} bytes: shorten the messages."
            return JSONResponse(error_body(message, _INVALID), status_code=413)
        return _reply(model, raw)

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse(model_list())

    @app.get("/v1/models/{name}")
    async def one_model(name: str) -> Response:
        for row in model_list()["data"]:
            if row["id"] == name:
                return JSONResponse(row)
        message = f"No model is called {name}: GET /v1/models lists them."
        return JSONResponse(error_body(message, _INVALID, "model"), status_code=404)

    @app.get("/healthz")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.exception_handler(404)
    async def not_found(request: Request, _error: Exception) -> Response:
        message = f"No such address: {request.method} {request.url.path}."
        return JSONResponse(error_body(message, _INVALID), status_code=404)

    return app


def _reply(model: OfflineModel, raw: bytes) -> Response:
    try:
        body = parse_body(raw)
    except BadRequest as error:
        return JSONResponse(error_body(str(error), _INVALID, error.parameter), status_code=400)
    step = model.reply(body)
    digest = sha256(raw).hexdigest()
    if body.stream:
        return StreamingResponse(_events(body, step, digest), media_type="text/event-stream")
    # Escaped to ASCII: a lone surrogate in a customer's text is legal JSON but no UTF-8.
    return Response(json.dumps(completion(body, step, digest)), media_type="application/json")


def _events(body: ChatBody, step: Step, digest: str) -> Iterator[str]:
    for chunk in chunks(body, step, digest):
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"
