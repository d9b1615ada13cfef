"""A redis-server on a socket of its own, as strange as a test wants it; killed by pid, gone with the run."""

import atexit
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from tests.components import require

QUIET = {"save": "", "appendonly": "no", "enable-debug-command": "local"}


class OwnRedis:
    """A server whose data lie in a folder; `kill` and `start` as often as a test likes."""

    def __init__(self, folder: Path, **config: str) -> None:
        require("redis")
        self.folder = folder
        self.socket = folder / "redis.sock"
        self._config = QUIET | {name.replace("_", "-"): value for name, value in config.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self, database: int = 0) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.socket), db=database)

    def start(self) -> None:
        words = [word for name, value in self._config.items() for word in (f"--{name}", value)]
        place = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        self._process = subprocess.Popen(["redis-server", *place, *words], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not self._answers():
            assert self._process.poll() is None, f"redis-server ended with {self._process.returncode}"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.005)

    def kill(self, with_signal: int = signal.SIGKILL) -> None:
        if self._process is not None:
            os.kill(self._process.pid, with_signal)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.ConnectionError:  # also while it loads
            return False
        finally:
            client.close()


@functools.cache
def shared_redis() -> OwnRedis:
    """One for the whole run, in memory alone."""
    folder = Path(tempfile.mkdtemp(prefix="mien-redis-"))
    server = OwnRedis(folder)

    def end() -> None:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server
