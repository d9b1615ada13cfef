"""The query service: a store in, answers over HTTP and a dashboard out."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from query.http.fence import LOOPBACK_HOSTS, Fence
from query.http.problems import answer_errors, document_problems
from query.http.routes import routes
from query.http.static import dashboard
from query.store import Reader
from query.store.choose import reader_of

_DESCRIPTION = """Per-person facial-expression timelines.

Expressions are what a face shows, not what a person feels. Stretches without a face, without pictures or without a
look at them are told apart and never filled in."""


def create_app(
    store: Path | str, *, title: str = "Mien", version: str = "1", allowed_hosts: Sequence[str] | None = LOOPBACK_HOSTS
) -> FastAPI:
    """The service over a store, which need not exist yet: until it does, `/readyz` says so.

    Args:
        store: a file as `contract.tables` lays it out, or the address of a Redis server; a worker may be writing it.
        title: shown in the OpenAPI document.
        version: of the API document.
        allowed_hosts: host names that are served, `[…]` for IPv6; None: any, for a service behind a proxy that checks.
    """
    return app_over(reader_of(store), title=title, version=version, allowed_hosts=allowed_hosts)


def app_over(
    reader: Reader, *, title: str = "Mien", version: str = "1", allowed_hosts: Sequence[str] | None = LOOPBACK_HOSTS
) -> FastAPI:
    """The service over any store; it closes the reader when it ends."""

    @contextlib.asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        reader.close()

    app = FastAPI(
        title=title,
        version=version,
        description=_DESCRIPTION,
        lifespan=closing,
        docs_url=None,  # the stock pages load scripts from another host
        redoc_url=None,
    )
    app.include_router(routes(reader))
    app.include_router(dashboard())
    answer_errors(app)
    document_problems(app)
    app.add_middleware(GZipMiddleware, minimum_size=16_384, compresslevel=1)
    app.add_middleware(Fence, hosts=allowed_hosts)
    return app
