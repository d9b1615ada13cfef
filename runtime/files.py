"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path

from contract.errors import BadOutput


def write_whole(path: Path, body: bytes) -> None:
    """Write a file so that a reader sees the old or the new one, also after a crash.

    Raises:
        BadOutput: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise BadOutput(f"{path}: cannot be written ({error.strerror})") from error
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)  # mkstemp gives 0600; plans are read by other users of the machine
        draft.replace(path)
    except OSError as error:
        raise BadOutput(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        draft.unlink(missing_ok=True)
