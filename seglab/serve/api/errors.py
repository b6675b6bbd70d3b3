"""Refusals as HTTP answers, all of one shape."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from seglab.serve.errors import STATUS, Refused
from seglab.serve.metrics import REFUSALS, Metrics
from seglab.serve.schema import ErrorAnswer, ErrorDetail

_BY_STATUS = {404: "not_found", 405: "method"}
_SHOWN = 200


def error_response(refused: Refused, request_id: str) -> Response:
    """Return a refusal as JSON, with the headers that go with its status."""
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    if refused.status == STATUS["key"]:
        headers["WWW-Authenticate"] = "Bearer"
    detail = ErrorDetail(code=refused.code, message=refused.message, request_id=request_id)
    content = ErrorAnswer(error=detail).model_dump_json()
    return Response(content, refused.status, headers, media_type="application/json")


def handle_errors(app: FastAPI, metrics: Metrics) -> None:
    """Let every refusal of the application be answered in our shape."""

    async def refusal(request: Request, error: Refused) -> Response:
        if error.code in REFUSALS:
            metrics.refused.labels(error.code).inc()
        request.state.seen.update(code=error.code, reason=error.message)
        return error_response(error, request.state.request_id)

    async def query(request: Request, error: RequestValidationError) -> Response:
        problems = "; ".join(_problem(one) for one in error.errors()[:10])
        return await refusal(request, Refused("query", problems))

    async def http(request: Request, error: HTTPException) -> Response:
        code = _BY_STATUS.get(error.status_code, "invalid")
        response = await refusal(request, Refused(code, str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    handlers: dict[type[Exception], Any] = {
        Refused: refusal,
        RequestValidationError: query,
        HTTPException: http,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _problem(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"][1:])
    return f"{place}: {error['msg']}, got {repr(error.get('input'))[:_SHOWN]}"
