"""Three small pages for probes and Prometheus, on a port of their own: /healthz, /readyz and /metrics."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from contract.errors import BadOutput
from runtime.telemetry import PAGE_TYPE

DEAD_S = 300.0  # a loop that has not come round for so long will not; longer than any wait of ours
REQUEST_S = 5.0  # a client that is slower is let go


@dataclass(frozen=True, slots=True)
class Pages:
    """What the pages show; each is called by the server's threads."""

    loop_age_s: Callable[[], float]  # since the main loop came round; 0 where it has not begun
    reasons: Callable[[], list[str]]  # why the process is not ready; empty: it is
    metrics: Callable[[], str]  # in the text format of Prometheus


class HealthServer:
    """`/healthz`, `/readyz` and `/metrics` of one process.

    Raises:
        BadOutput: the port is taken.
    """

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), partial(_Handler, pages))
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

    def __init__(self, pages: Pages, *socket: object) -> None:
        self._pages = pages
        super().__init__(*socket)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer one of the three pages."""
        pages = {"/healthz": _healthz, "/readyz": _readyz, "/metrics": _metrics}
        page = pages.get(self.path.partition("?")[0])
        status, kind, body = page(self._pages) if page else (404, "text/plain", "not found\n")
        payload = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *values: object) -> None:
        """Log nothing: probes come every few seconds."""


def _healthz(pages: Pages) -> tuple[int, str, str]:
    age_s = pages.loop_age_s()
    alive = age_s < DEAD_S
    return (200 if alive else 503), "application/json", json.dumps({"alive": alive, "loop_age_s": round(age_s, 3)})


def _readyz(pages: Pages) -> tuple[int, str, str]:
    reasons = pages.reasons()
    return (503 if reasons else 200), "application/json", json.dumps({"ready": not reasons, "reasons": reasons})


def _metrics(pages: Pages) -> tuple[int, str, str]:
    return 200, PAGE_TYPE, pages.metrics()
