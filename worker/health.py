"""How a worker is: three small pages for probes and Prometheus, on a port of their own."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from contract.errors import BadOutput
from worker.counters import BOUNDS_S, Counters

DEAD_S = 300.0  # a loop that has not come round for so long will not; longer than any wait of ours
REQUEST_S = 5.0  # a client that is slower is let go


@dataclass(slots=True)
class Standing:
    """What the pages say; set by the worker's side, read by the server's threads.

    `lags` gives, by partition, how many records the log holds that are not stored yet.
    """

    reasons: Callable[[], list[str]] = list  # why it is not ready; empty: it is
    counters: Counters = field(default_factory=Counters)
    loops: bool = False  # False: it starts; nothing has to come round yet
    lags: Callable[[], dict[int, int]] = dict
    log_counts: Callable[[], dict[str, int]] = dict  # of the log, by name


class HealthServer:
    """`/healthz`, `/readyz` and `/metrics` of one worker.

    Raises:
        BadOutput: the port is taken.
    """

    def __init__(self, host: str, port: int, standing: Standing) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), partial(_Handler, standing))
        except OSError as error:
            raise BadOutput(
                f"port {port} of {host} cannot be served ({error.strerror}); wanted --health-port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_S
    server_version, sys_version = "mien", ""

    def __init__(self, standing: Standing, *socket: object) -> None:
        self._standing = standing
        super().__init__(*socket)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer one of the three pages."""
        pages = {"/healthz": _healthz, "/readyz": _readyz, "/metrics": _metrics}
        page = pages.get(self.path.partition("?")[0])
        status, kind, body = page(self._standing) if page else (404, "text/plain", "not found\n")
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *values: object) -> None:
        """Probes come every few seconds; nobody wants to read of them."""


def _healthz(standing: Standing) -> tuple[int, str, str]:
    age_s = time.monotonic() - standing.counters.looped_at if standing.loops else 0.0
    alive = age_s < DEAD_S
    return (200 if alive else 503), "application/json", json.dumps({"alive": alive, "loop_age_s": round(age_s, 3)})


def _readyz(standing: Standing) -> tuple[int, str, str]:
    reasons = standing.reasons()
    return (503 if reasons else 200), "application/json", json.dumps({"ready": not reasons, "reasons": reasons})


def _metrics(standing: Standing) -> tuple[int, str, str]:
    return 200, "text/plain; version=0.0.4", "\n".join(metrics(standing)) + "\n"


TOTALS = {
    "records": "Records applied to the store.",
    "crops": "Crops shown to the nets.",
    "points": "Readings applied to the store.",
    "batches": "Batches.",
    "rejected": "Records applied that cannot be read.",
    "shed": "Live faces applied that were too old to be read.",
    "expired": "Records met that retention had removed.",
    "passed_over": "Deliveries that were applied already, or come again.",
    "holes": "Times the log left out what the store had not seen.",
    "retaken": "Times a partition was taken again.",
}


def metrics(standing: Standing) -> Iterator[str]:
    """The worker's figures in the text format of Prometheus; no source or person is named."""
    counters = standing.counters
    for name, text in TOTALS.items():
        yield from _family(f"mien_worker_{name}_total", "counter", text, [("", getattr(counters, name))])
    outcomes = [(f'{{outcome="{outcome}"}}', count) for outcome, count in sorted(counters.outcomes.copy().items())]
    yield from _family("mien_worker_commits_total", "counter", "Commits by their outcome.", outcomes)
    for name, count in sorted(standing.log_counts().items()):
        yield from _family(f"mien_worker_log_{name}_total", "counter", f"{name.replace('_', ' ')}.", [("", count)])
    lags = [(f'{{partition="{partition}"}}', lag) for partition, lag in sorted(standing.lags().items())]
    yield from _family("mien_worker_lag_records", "gauge", "Records in the log that are not stored yet.", lags)
    yield from _family("mien_worker_ready", "gauge", "1: ready.", [("", int(not standing.reasons()))])
    yield "# HELP mien_worker_seconds Wall time of blocks of work by stage."
    yield "# TYPE mien_worker_seconds histogram"
    for stage, counts in counters.spread.items():
        if stage != "wait":
            yield from _histogram(stage, counts, counters.seconds[stage])


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    yield from (f"{name}{labels} {value}" for labels, value in samples)


def _histogram(stage: str, counts: list[int], total_s: float) -> Iterator[str]:
    sum_so_far = 0
    for bound, count in zip([*BOUNDS_S, "+Inf"], counts, strict=True):
        sum_so_far += count
        yield f'mien_worker_seconds_bucket{{stage="{stage}",le="{bound}"}} {sum_so_far}'
    yield f'mien_worker_seconds_sum{{stage="{stage}"}} {total_s:.6f}'
    yield f'mien_worker_seconds_count{{stage="{stage}"}} {sum_so_far}'
