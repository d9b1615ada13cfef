import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from contract.errors import BadOutput
from worker.counters import Counters
from worker.health import DEAD_S, Health, HealthServer, metrics


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    server = HealthServer("127.0.0.1", 0, health.pages())
    yield server
    server.close()


def asked(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_is_ready_until_there_is_a_reason(health: Health, server: HealthServer) -> None:
    assert asked(server, "/readyz") == (200, '{"ready": true, "reasons": []}')

    health.reasons = lambda: ["the store does not answer", "partition 3 is parked"]

    status, body = asked(server, "/readyz?verbose")
    assert status == 503
    assert json.loads(body) == {"ready": False, "reasons": ["the store does not answer", "partition 3 is parked"]}


def test_a_loop_that_does_not_come_round_is_dead_one_that_has_not_begun_is_not(
    health: Health, server: HealthServer
) -> None:
    health.counters.looped_at -= DEAD_S + 1
    assert asked(server, "/healthz")[0] == 200

    health.loops = True

    status, body = asked(server, "/healthz")
    assert status == 503
    assert json.loads(body)["loop_age_s"] > DEAD_S
    health.counters.beat()
    assert asked(server, "/healthz")[0] == 200


def test_other_pages_are_not_found(server: HealthServer) -> None:
    assert asked(server, "/")[0] == 404


def test_a_port_that_is_taken_is_one_line(server: HealthServer, health: Health) -> None:
    with pytest.raises(BadOutput, match=f"port {server.port} of 127.0.0.1 cannot be served"):
        HealthServer("127.0.0.1", server.port, health.pages())


def test_the_figures_are_those_of_the_counters(health: Health, server: HealthServer) -> None:
    counters = Counters(records=12, points=9, repeats=4, outcomes={"applied": 3, "fenced": 1})
    health.follow(counters)
    health.lags = lambda: {0: 7, 11: 0}
    health.log_counts = lambda: {"recycles": 2}
    ticks = iter([0.0, 0.002, 0.0, 20.0])
    for _ in range(2):
        with counters.timed("commit", lambda: next(ticks)):
            pass

    found = dict(line.rsplit(" ", 1) for line in asked(server, "/metrics")[1].splitlines() if line[0] != "#")

    assert float(found["mien_worker_records_total"]) == 12
    assert float(found["mien_worker_points_total"]) == 9
    assert float(found["mien_worker_passed_over_total"]) == 4
    assert float(found['mien_worker_commits_total{outcome="fenced"}']) == 1
    assert float(found['mien_worker_lag_records{partition="0"}']) == 7
    assert float(found["mien_worker_log_recycles_total"]) == 2
    assert float(found["mien_worker_ready"]) == 1
    assert float(found['mien_worker_seconds_bucket{le="0.001",stage="commit"}']) == 0
    assert float(found['mien_worker_seconds_bucket{le="0.003",stage="commit"}']) == 1
    assert float(found['mien_worker_seconds_bucket{le="+Inf",stage="commit"}']) == 2
    assert float(found['mien_worker_seconds_count{stage="commit"}']) == 2
    assert float(found['mien_worker_seconds_sum{stage="commit"}']) == pytest.approx(20.002)


def test_every_line_is_in_the_format_of_prometheus_and_every_family_is_described(health: Health) -> None:
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"\n]+"(,[a-z]+="[^"\n]+")*\})? -?[0-9.e+-]+')
    described = set()

    for line in metrics(health):
        if line.startswith("# TYPE "):
            described.add(line.split()[2])
        elif not line.startswith("# HELP "):
            assert sample.fullmatch(line), line
            assert re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0]) in described
