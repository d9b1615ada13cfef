import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from contract.errors import BadOutput
from runtime.health import DEAD_S, HealthServer, Pages
from runtime.telemetry import Telemetry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry("mien.test")
    yield telemetry
    telemetry.close()


def samples(telemetry: Telemetry) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in telemetry.page().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_counters_and_gauges_are_read_when_the_page_is_asked_for(telemetry: Telemetry) -> None:
    counts = {"cam": 1}
    telemetry.counter("mien_faces", "Faces.", lambda: [(n, {"source": name}) for name, n in counts.items()])
    telemetry.gauge("mien_ready", "1: ready.", lambda: [(1, {})])
    assert samples(telemetry) == {'mien_faces_total{source="cam"}': 1, "mien_ready": 1}

    counts["cam"] = 7

    assert samples(telemetry)['mien_faces_total{source="cam"}'] == 7
    assert "# TYPE mien_faces_total counter" in telemetry.page()
    assert "# HELP mien_faces_total Faces." in telemetry.page()


def test_a_histogram_counts_values_by_its_bounds(telemetry: Telemetry) -> None:
    record = telemetry.histogram("mien_seconds", "Work.", (0.001, 0.1))
    for value in (0.0005, 0.05, 60.0):
        record(value, {"stage": "read"})

    found = samples(telemetry)

    assert [found[f'mien_seconds_bucket{{le="{bound}",stage="read"}}'] for bound in ("0.001", "0.1", "+Inf")] == [
        1,
        2,
        3,
    ]
    assert found['mien_seconds_sum{stage="read"}'] == pytest.approx(60.0505)


def test_two_telemetries_of_one_process_do_not_mix(telemetry: Telemetry) -> None:
    other = Telemetry("mien.other")
    other.gauge("mien_other", "x", lambda: [(1, {})])

    assert samples(telemetry) == {}
    assert samples(other) == {"mien_other": 1}
    other.close()


def test_the_pages_answer_probes() -> None:
    reasons: list[str] = []
    age_s = [0.0]
    server = HealthServer("127.0.0.1", 0, Pages(lambda: age_s[0], lambda: reasons, lambda: "x 1\n"))
    try:
        assert [asked(server, page) for page in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
        reasons.append("cam is down")
        age_s[0] = DEAD_S
        assert [asked(server, page) for page in ("/healthz", "/readyz", "/metrics", "/")] == [503, 503, 200, 404]
        with pytest.raises(BadOutput, match=f"port {server.port} of 127.0.0.1 cannot be served"):
            HealthServer("127.0.0.1", server.port, Pages(lambda: 0.0, list, str))
    finally:
        server.close()


def asked(server: HealthServer, page: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{page}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
