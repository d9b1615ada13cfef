"""The HTTP server beside a run, or alone over a stored file."""

import signal
import socket
import threading
from ipaddress import ip_address
from pathlib import Path

from contract.errors import BadRequest


class Server:
    """Serves a store on a thread of its own until closed.

    Raises:
        BadRequest: the address cannot be listened on.
    """

    def __init__(self, store: Path | str, host: str, port: int) -> None:
        self._store = store
        self._socket = _listening(host, port)
        address, bound = self._socket.getsockname()[:2]
        self._loopback = ip_address(address).is_loopback
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{bound}"
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._ready.wait(10)
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        import uvicorn

        from query.app import create_app
        from query.http.fence import LOOPBACK_HOSTS

        app = create_app(self._store, allowed_hosts=LOOPBACK_HOSTS if self._loopback else None)
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_keep_alive=5)
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._ready.set()
        self._server.run(sockets=[self._socket])


def serve_store(store: str, host: str, port: int) -> None:
    """Serve a file, or a Redis by its address, until Ctrl-C."""
    from query.store.choose import reader_of

    reader = reader_of(store)
    with reader.snapshot():  # a clear error now, not a broken page later
        pass
    reader.close()
    server = Server(store, host, port)
    print(f"dashboard: {server.url}   (Ctrl-C ends it)", flush=True)
    wait_for_interrupt()
    server.close()


def wait_for_interrupt() -> None:
    """Return at Ctrl-C or when the process is asked to end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    finally:
        signal.signal(signal.SIGTERM, before)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise BadRequest(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port") from error
    return listening
