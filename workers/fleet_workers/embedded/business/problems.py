"""How the sandbox business says no: problem details (RFC 9457)."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

PROBLEM_TYPE: Final = "application/problem+json"

_TITLES: Final = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    422: "Not accepted",
}


class Refused(Exception):
    """A business rule says no. `detail` tells the caller what would be accepted."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def problem(status: int, detail: str) -> dict[str, Any]:
    """Give the body of a problem answer."""
    title = _TITLES.get(status, "Error")
    return {"type": "about:blank", "title": title, "status": status, "detail": detail}


def not_found(what: str, identifier: str) -> Refused:
    """Refuse in the same words whether a thing does not exist or belongs to somebody else."""
    return Refused(404, f"There is no {what} {identifier} for this customer.")


def answer_problems(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""

    @app.exception_handler(Refused)
    async def _refused(_request: Request, error: Refused) -> JSONResponse:
        return _response(error.status, error.detail)

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        return _response(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        return _response(422, f"The request was not accepted: {faults}.")


def _response(status: int, detail: str) -> JSONResponse:
    return JSONResponse(problem(status, detail), status_code=status, media_type=PROBLEM_TYPE)
