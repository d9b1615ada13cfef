"""Whether the service lives, and whether it can answer."""

from typing import Annotated

from fastapi import APIRouter, Query

from query.http import replies
from query.http.parameters import NoQuery
from query.http.problems import documented
from query.store import Reader


class HealthRoutes:
    """`/healthz` and `/readyz`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mount(self, router: APIRouter) -> None:
        """Add the addresses."""
        router.get("/healthz", tags=["health"], summary="Is the process alive?")(self.health)
        router.get("/readyz", tags=["health"], summary="Can the store be read?", responses=documented(503))(self.ready)

    async def health(self, query: Annotated[NoQuery, Query()]) -> replies.Health:
        """Answer; the store is not looked at."""
        return replies.Health()

    def ready(self, query: Annotated[NoQuery, Query()]) -> replies.Health:
        """Answer if the store can be read."""
        with self._reader.snapshot():
            return replies.Health()
