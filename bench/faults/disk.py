"""A small disk of its own for one server: a tmpfs that only this server sees."""

import os
from collections.abc import Sequence
from pathlib import Path

from mien.stack import Server

BALLAST = "ballast"


def on_small_disk(command: Sequence[str], folder: Path, mib: int) -> tuple[str, ...]:
    """The command, run in a mount namespace of its own in which the folder is an empty disk of this size."""
    script = f'mount -t tmpfs -o size={mib}m faults "$0" && cd "$0" && exec "$@"'
    return ("unshare", "-m", "sh", "-c", script, str(folder), *command)


def fill(server: Server, folder: Path) -> int:
    """Take what room is left on the server's disk; the bytes it took."""
    taken = 0
    with _inside(server, folder).open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            while _could_write(file.fileno(), bytes(size)):
                taken += size
    return taken


def free(server: Server, folder: Path) -> None:
    """Give the room back."""
    _inside(server, folder).unlink(missing_ok=True)


def _inside(server: Server, folder: Path) -> Path:
    return Path(f"/proc/{server.pid}/root{folder}") / BALLAST


def _could_write(file: int, body: bytes) -> bool:
    try:
        return os.write(file, body) == len(body)
    except OSError:
        return False
