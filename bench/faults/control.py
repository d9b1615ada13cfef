"""What a child process is told while it runs: a small JSON file, looked at when it matters."""

from dataclasses import dataclass
from pathlib import Path

import msgspec


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to misbehave from now on."""

    sleep_s: float = 0.0  # per crop
    hang: bool = False
    engine_fails: bool = False
    poison: bool = False  # every picture is one that the engine cannot bear
    unfetched: bool = False  # the client fetches nothing of one partition any more, and says nothing
    clock_s: float = 0.0  # how far the wall clock is ahead
    stage: str = ""  # «before», «during» or «after» a commit: when this process signals itself
    at_commit: int = 0  # the n-th from now on
    signal: int = 0


NOTHING = Told()


@dataclass(slots=True)
class Control:
    """The file, and what was last read of it."""

    path: Path
    _seen: tuple[int, int] = (0, 0)
    _told: Told = NOTHING

    def read(self) -> Told:
        """What stands in the file now; nothing special where there is none."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return NOTHING
        if (stat.st_mtime_ns, stat.st_ino) != self._seen:
            self._seen = (stat.st_mtime_ns, stat.st_ino)
            self._told = msgspec.json.decode(self.path.read_bytes(), type=Told)
        return self._told

    def tell(self, told: Told) -> None:
        """Replace what stands in the file, at once."""
        new = self.path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(told))
        new.replace(self.path)
