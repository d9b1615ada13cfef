"""Errors as RFC 9457 problem details: what was wrong and what is wanted, nothing of the inside."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from contract.errors import BadRequest, BadStore, NotFound, StoreTooNew, StoreUnavailable
from query.http.fence import HEADERS

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """A problem detail (RFC 9457)."""

    type: str = Field(description="Stable name of the kind of problem", examples=["urn:mien:problem:bad-parameter"])
    title: str = Field(description="The kind of problem, in words", examples=["A parameter is not usable"])
    status: int = Field(description="The HTTP status", examples=[422])
    detail: str = Field(description="What was seen and what is wanted")
    instance: str = Field(description="Path of the request")


def problem(request: Request, status: int, name: str, title: str, detail: str) -> Response:
    """Return a problem detail as an answer."""
    body = {
        "type": f"urn:mien:problem:{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path[:200],
    }
    return Response(orjson.dumps(body), status, media_type=MEDIA_TYPE)


def answer_errors(app: FastAPI) -> None:
    """Give every error of the app the form of a problem detail."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BadRequest, _bad_parameter)
    app.add_exception_handler(NotFound, _not_found)
    app.add_exception_handler(StoreUnavailable, _no_store)
    app.add_exception_handler(BadStore, _bad_store)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _internal)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer with these problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANING[status], "content": content} for status in statuses}


def document_problems(app: FastAPI) -> None:
    """Put `Problem` among the schemas of the app's OpenAPI document."""
    plain = app.openapi

    def with_problem() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        return document

    app.openapi = with_problem  # type: ignore[method-assign]


_MEANING = {
    400: "The host name in the request is not one of this service",
    404: "There is no such thing here",
    422: "A parameter is not usable; `detail` says what was seen and what is wanted",
    500: "A fault of this service; its log says more",
    503: "The store cannot be read at the moment",
}


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(map(str, each['loc'][1:]))[:60]}: {each['msg']}" for each in error.errors()[:5]]
    return problem(request, 422, "bad-parameter", "A parameter is not usable", "; ".join(found))


async def _bad_parameter(request: Request, error: Exception) -> Response:
    return problem(request, 422, "bad-parameter", "A parameter is not usable", str(error))


async def _not_found(request: Request, error: Exception) -> Response:
    return problem(request, 404, "not-found", "Not found", str(error))


async def _bad_store(request: Request, error: Exception) -> Response:
    _log.error("%s", error)
    newer = "it was written by a newer Mien" if isinstance(error, StoreTooNew) else "see the log of this service"
    return problem(request, 503, "store-unreadable", "The store cannot be read", f"the store cannot be read: {newer}")


async def _no_store(request: Request, error: Exception) -> Response:
    _log.warning("%s", error)
    detail = "the store does not answer at the moment; ask again"
    answer = problem(request, 503, "store-unavailable", "The store does not answer", detail)
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    name = title.lower().replace(" ", "-")
    answer = problem(request, error.status_code, name, title, f"{request.method}: {error.detail}")
    answer.headers.update(error.headers or {})
    return answer


async def _internal(request: Request, _: Exception) -> Response:
    """Return a fault of ours. The server logs the trace; the caller learns nothing of it."""
    answer = problem(request, 500, "internal", "Internal fault", "a fault of this service; its log says more")
    answer.headers.update(HEADERS | {"Cache-Control": "no-store"})  # this answer is made outside of the fence
    return answer
