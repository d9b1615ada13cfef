"""The HTTP server under the service."""

import asyncio
import threading
from pathlib import Path

import uvicorn

from query.app import app_over
from query.listen import Listen
from query.serving.limits import HEAD_BYTES, Limits, protocol_with
from query.store import Reader
from query.store.choose import reader_of
from runtime.sockets import BACKLOG, listening_socket

KEEP_ALIVE_S = 5


class HttpServer:
    """Serves a store on a thread of its own until closed.

    Args:
        store: a file, the address of a Redis server, or a reader.
        listen: where.
        limits: of its connections.

    Raises:
        BadRequest: the address cannot be listened on, or the store's address is none.
    """

    def __init__(self, store: Path | str | Reader, listen: Listen, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._socket = listening_socket(listen.host, listen.port)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}{listen.root_path}"
        reader = reader_of(store) if isinstance(store, Path | str) else store
        self._server = uvicorn.Server(
            uvicorn.Config(
                app_over(reader, listen=listen),
                http=protocol_with(self.limits),
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # ours knows prefix and host too
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=HEAD_BYTES,
                backlog=BACKLOG,
                ws="none",
            )
        )
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Return whether it answers."""
        return self._server.started

    def close(self) -> None:
        """Answer no more; streams end, other answers have a second to get out."""
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        asyncio.run(self._answer())

    async def _answer(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self.limits.on_loop_error)
        await self._server.serve(sockets=[self._socket])
