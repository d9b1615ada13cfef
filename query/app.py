"""The query service: a store in, answers over HTTP and a dashboard out."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from query.http.fence import Fence
from query.http.measured import Measured, Requests
from query.http.problems import answer_errors, document_problems
from query.http.proxies import Proxied
from query.http.routes import routes
from query.http.static import dashboard
from query.listen import Listen
from query.store import Reader
from query.store.choose import reader_of

_DESCRIPTION = """Per-person facial-expression timelines.

Expressions are what a face shows, not what a person feels. Stretches without a face, without pictures or without a
look at them are kept apart and never filled in."""


def create_app(store: Path | str, *, title: str = "Mien", version: str = "1", listen: Listen | None = None) -> FastAPI:
    """Return the service over a store, which need not exist yet: until it does, `/readyz` says so.

    Args:
        store: a file as `contract.tables` lays it out, or the address of a Redis server; a worker may be writing it.
        title: shown in the OpenAPI document.
        version: of the API document.
        listen: which host names and proxies to serve; None: this machine's names alone.

    Raises:
        BadRequest: an address that is none.
    """
    return app_over(reader_of(store), title=title, version=version, listen=listen)


def app_over(reader: Reader, *, title: str = "Mien", version: str = "1", listen: Listen | None = None) -> FastAPI:
    """Return the service over any store; it closes the reader when it ends."""

    @contextlib.asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        requests.telemetry.close()
        reader.close()

    requests, measured = Requests(), APIRouter()
    requests.mount(measured)
    listen = listen or Listen()
    app = FastAPI(
        title=title,
        version=version,
        description=_DESCRIPTION,
        lifespan=closing,
        docs_url=None,  # the stock pages load scripts from another host
        redoc_url=None,
    )
    app.include_router(routes(reader))
    app.include_router(measured)
    app.include_router(dashboard())
    answer_errors(app)
    document_problems(app)
    app.add_middleware(GZipMiddleware, minimum_size=16_384, compresslevel=1)
    app.add_middleware(Fence, listen=listen)
    app.add_middleware(Proxied, trusted=listen.trusted_proxies, root_path=listen.root_path)
    app.add_middleware(Measured, requests=requests)
    return app
