"""Files that are there whole or not at all: a reader sees the old or the new one, also after a crash."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from contract.errors import BadOutput


def write_whole(path: Path, body: bytes) -> None:
    """Write the file, and the folders above it where they are missing.

    Raises:
        BadOutput: the folder cannot be written, or the disk is full; an older file stays as it was.
    """
    with whole_file(path) as file:
        file.write(body)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes its place at the end of the block; nothing of it stays where the block fails.

    Raises:
        BadOutput: the folder cannot be written, or the disk is full; an older file stays as it was.
    """
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.unfinished")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less what the umask takes
    try:
        with _translated(path):
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadOutput(f"{path}: cannot be written ({error.strerror or error})") from error
