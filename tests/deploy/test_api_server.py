"""A real API server takes every rendering and refuses what is wrong; `make check-deploy ARGS=--build` builds one."""

import copy
from collections.abc import Iterator

import pytest

from deploy.check import control_plane, rendering
from deploy.check.__main__ import distinct
from deploy.check.control_plane import ApiServer
from deploy.check.rendering import Manifest
from deploy.check.tools import tools

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def documents() -> list[Manifest]:
    return distinct(case.render(tools()) for case in rendering.cases())


@pytest.fixture(scope="module")
def server(documents: list[Manifest]) -> Iterator[ApiServer]:
    programs = control_plane.built()
    if programs is None:
        pytest.skip("no API server is built (minutes, once): make check-deploy ARGS=--build")
    with control_plane.running(programs, tools()) as found:
        found.apply_namespace(one(documents, "Namespace"))
        yield found


def one(documents: list[Manifest], kind: str) -> Manifest:
    return copy.deepcopy(next(each for each in documents if each["kind"] == kind))


def test_it_takes_everything_without_a_warning(server: ApiServer, documents: list[Manifest]) -> None:
    assert server.problems(documents) == []


def test_it_warns_of_a_pod_that_breaks_pod_security(server: ApiServer, documents: list[Manifest]) -> None:
    pod = one(documents, "Deployment")
    del pod["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
    (warning,) = server.problems([pod])
    assert "seccompProfile" in warning


@pytest.mark.parametrize("kind", ["ScaledObject", "Kafka", "KafkaUser", "PodMonitor", "Deployment"])
def test_it_refuses_a_field_that_nobody_knows(server: ApiServer, documents: list[Manifest], kind: str) -> None:
    harmed = one(documents, kind)
    harmed["spec"]["surprise"] = 1
    assert any("surprise" in problem for problem in server.problems([harmed]))
