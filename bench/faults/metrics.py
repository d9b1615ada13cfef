"""What a worker says of itself over its health port."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass

HOST = "127.0.0.1"
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{[^}]*\})? ([0-9.eE+-]+|NaN|\+Inf)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The counters that the table shows."""

    fenced: int = 0
    stale: int = 0


def metrics_at(port: int) -> Metrics:
    """The counters now; OSError where nobody answers."""
    _, text = page_at(port, "/metrics")
    return Metrics(
        fenced=int(sample(text, OUTCOMES, 'outcome="fenced"')), stale=int(sample(text, OUTCOMES, 'outcome="stale"'))
    )


OUTCOMES = "mien_worker_commits_total"


def sum_of(all_of: Iterable[Metrics]) -> Metrics:
    """All of them together."""
    known = list(all_of)
    return Metrics(sum(one.fenced for one in known), sum(one.stale for one in known))


def page_at(port: int, path: str) -> tuple[int, str]:
    """Status and page of the health port; OSError where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=1.0) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:  # 503 has a page too
        return error.code, error.read().decode()


def sample(text: str, name: str, labels: str = "") -> float:
    """The sum of a metric's samples whose labels hold this text; 0 where there is none."""
    return sum(float(value) for seen, given, value in _SAMPLE.findall(text) if seen == name and labels in given)
