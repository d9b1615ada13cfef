"""What a stack's folder remembers in stack.json: its shape, the ports and the pids."""

from pathlib import Path

import msgspec

from contract.errors import StackFailed
from runtime.files import write_whole

FILE = "stack.json"
VERSION = 1


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which servers a stack has. The data in its folder belong to this shape."""

    brokers: int = 1  # 0: no Kafka
    redis: bool = True
    replica: bool = False
    min_replicas: int = 0  # replicas that must be in touch for the primary to take writes
    partitions: int = 12
    redis_config: dict[str, str] = {}


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a server listens, and which process it is."""

    port: int
    controller_port: int = 0  # brokers only
    pid: int | None = None
    began: str = ""  # tells a reused pid


class State(msgspec.Struct, frozen=True):
    """The content of stack.json."""

    version: int
    shape: Shape
    servers: dict[str, Mark]


def read_state(folder: Path) -> State | None:
    """What is remembered of the stack in this folder; None if there never was one.

    Raises:
        StackFailed: the file is not ours or not of this version.
    """
    path = folder / FILE
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StackFailed(f"{path} is not the record of a stack ({error}); remove the folder to begin anew") from error
    if state.version != VERSION:
        raise StackFailed(f"{path} has version {state.version}, this Mien reads {VERSION}; use another --folder")
    return state


def write_state(folder: Path, state: State) -> None:
    """Remember it; a crash leaves the old record or the new."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(folder / FILE, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")
