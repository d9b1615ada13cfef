import pytest

from tests.query.conftest import Get

pytestmark = pytest.mark.usefixtures("store")


def test_requests_are_counted_by_the_status_of_their_answer(get: Get) -> None:
    for path in ("/healthz", "/healthz", "/v1/people/nobody-4711"):
        get(path)

    answer = get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert float(lines['mien_query_requests_total{status="200"}']) == 2
    assert float(lines['mien_query_requests_total{status="404"}']) == 1
    assert float(lines['mien_query_seconds_total{status="200"}']) > 0
    assert "nobody-4711" not in answer.text


def test_an_answer_to_another_host_is_counted_too(get: Get) -> None:
    assert get("/healthz", Host="evil.example").status_code == 400

    assert 'mien_query_requests_total{status="400"} 1.0' in get("/metrics").text
