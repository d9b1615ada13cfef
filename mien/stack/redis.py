"""A redis-server on loopback: its settings, and whether it answers."""

import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from contract.errors import StackFailed
from mien.stack.ports import HOST
from mien.stack.process import Server

CONFIG = "redis.conf"
PATIENCE_S = 30.0
ANSWER_S = 1.0


def redis_server(name: str, folder: Path, port: int, primary: Server | None = None) -> Server:
    """A server of the stack, not yet started, nor its settings written; with a primary it is its replica."""

    def problem() -> str:
        return _problem(port) or ("" if primary is None else _replica_problem(port, primary))

    return Server(name, ("redis-server", str(folder / CONFIG)), HOST, port, folder, problem, PATIENCE_S)


def write_settings(server: Server, config: Mapping[str, str], primary: Server | None = None) -> None:
    """Write redis.conf: ours, then the lines of `config`.

    Raises:
        StackFailed: redis-server is not installed.
    """
    if shutil.which("redis-server") is None:
        raise StackFailed("redis-server is not installed: make system")
    server.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = _settings(server.folder, server.port, primary) | dict(config)
    (server.folder / CONFIG).write_text("".join(f"{key} {value}\n" for key, value in settings.items()))


def ask(port: int, command: str) -> str:
    """The reply to a command without arguments that need quoting, as text; OSError where nobody answers."""
    with socket.create_connection((HOST, port), timeout=ANSWER_S) as connection:
        connection.sendall(f"{command}\r\n".encode())
        reply = connection.recv(1 << 16)
        if reply.startswith(b"$"):
            head, _, body = reply.partition(b"\r\n")
            while len(body) < int(head[1:]) and (more := connection.recv(1 << 16)):
                body += more
            return body.decode(errors="replace").strip()
    return reply.decode(errors="replace").strip()


def _settings(folder: Path, port: int, primary: Server | None) -> dict[str, str]:
    settings = {
        "bind": HOST,
        "port": str(port),
        "protected-mode": "yes",
        "dir": f'"{folder}"',
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',  # the append-only file holds everything
        "maxmemory-policy": "noeviction",  # evicting a timeline or an offset would be loss
        "repl-diskless-sync-delay": "0",  # no wait for further replicas: there is one
    }
    if primary is not None:
        settings["replicaof"] = f"{primary.host} {primary.port}"
    return settings


def _problem(port: int) -> str:
    try:
        answer = ask(port, "PING")
    except OSError as error:
        return str(error)
    return "" if answer == "+PONG" or answer.startswith("-NOAUTH") else answer


def _replica_problem(port: int, primary: Server) -> str:
    """A replica answers when its link is up and its primary counts on it; a promoted one has no link any more."""
    try:
        info = ask(port, "INFO replication")
        if "role:master" in info:
            return ""
        if "master_link_status:up" not in info:
            return "not yet in touch with the primary"
        # The primary, where it wants a replica, takes writes from the replica's first report on, up to 1 s later.
        counted = "min_slaves_good_slaves:0" not in ask(primary.port, "INFO replication")
    except OSError as error:
        return str(error)
    return "" if counted else "the primary does not count on it yet"
