"""A direct route takes and refuses what FastAPI's own route does, in the same words."""

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from query.http.direct import DirectRoute
from query.http.parameters import PersonId, TimelineQuery, each_once
from query.http.problems import answer_errors


def _echo(request: Request, person: PersonId, query: Annotated[TimelineQuery, Query()]) -> Response:
    return Response(f"{request.url.query} {person} {query!r}")


@pytest.fixture(scope="module")
def app() -> FastAPI:
    router = APIRouter(dependencies=[Depends(each_once)])
    router.add_api_route("/direct/{person}", _echo, response_class=Response, route_class_override=DirectRoute)
    router.add_api_route("/plain/{person}", _echo, response_class=Response)
    app = FastAPI()
    app.include_router(router)
    answer_errors(app)
    return app


@pytest.mark.parametrize(
    "asked",
    [
        "p",
        "p?from=1&to=2&every=0.2s&channels=happiness,AU12&limit=7",
        "a%252Fb?statistic=share&threshold=0.25&format=csv",
        "p?from=",
        "p?begin=1",
        "p?form=1&forms=2",
        "p?limit=1_000",
        "p?limit=0",
        "p?threshold=none",
        "p?statistic=median",
        "p?from=1&from=2",
        "p?every=" + "9" * 40,
        "x" * 4_097 + "?limit=0",
    ],
)
def test_both_routes_answer_alike(app: FastAPI, asked: str) -> None:
    direct, plain = (_get(app, f"/{kind}/{asked}") for kind in ("direct", "plain"))

    assert direct.status_code == plain.status_code
    if direct.status_code == 200:
        assert direct.text == plain.text
    else:
        assert direct.json()["detail"] == plain.json()["detail"]


def test_both_routes_are_described_alike(app: FastAPI) -> None:
    paths = app.openapi()["paths"]

    assert paths["/direct/{person}"]["get"]["parameters"] == paths["/plain/{person}"]["get"]["parameters"]


def _get(app: FastAPI, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())
