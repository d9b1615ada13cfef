"""The addresses under /v1, and health."""

from fastapi import APIRouter, Depends

from query.http.parameters import each_once
from query.http.problems import documented
from query.http.routes.health import HealthRoutes
from query.http.routes.live import LiveRoutes
from query.http.routes.people import PeopleRoutes
from query.http.routes.studies import StudyRoutes
from query.http.routes.timelines import TimelineRoutes
from query.store import Reader


def routes(reader: Reader) -> APIRouter:
    """Return all addresses that answer from this store."""
    router = APIRouter(responses=documented(400, 422, 500), dependencies=[Depends(each_once)])
    for part in (HealthRoutes, PeopleRoutes, TimelineRoutes, LiveRoutes, StudyRoutes):
        part(reader).mount(router)
    return router
