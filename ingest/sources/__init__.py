"""What a user typed, as sources that can be opened."""

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Protocol

from contract.errors import BadSource, RefusedSource, SourceNotFound
from ingest.footage import Footage
from ingest.footage.stills import StillPicture
from ingest.footage.video import VideoFile
from ingest.sources.camera import Address, Camera

VIDEO_ENDINGS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".ts",
    ".mts",
    ".m2ts",
    ".mpg",
    ".mpeg",
    ".3gp",
    ".3g2",
)
STILL_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FINGERPRINT_BYTES = 1 << 20

_WANTED = f"wanted one of {' '.join((*VIDEO_ENDINGS, *STILL_ENDINGS))}, a folder of them, or an rtsp:// address"


class Origin(Protocol):
    """Where the footage of a source comes from."""

    def sessions(self, stop: Event) -> Iterator[Footage]:
        """One footage per unbroken run, opened when asked for. A file has one, a camera one per connection."""

    def session_id(self, footage: Footage, settings: bytes) -> str:
        """The id of a session of this source: [a-z0-9]+."""


@dataclass(frozen=True, slots=True)
class Source:
    """A camera or a file under an id."""

    id: str  # [a-z0-9_-]+
    uri: str  # as shown to users: without user or password
    origin: Origin

    @property
    def live(self) -> bool:
        """Whether it goes on until it is stopped."""
        return isinstance(self.origin, Camera)

    @property
    def still(self) -> bool:
        """Whether it is one picture."""
        return isinstance(self.origin, LocalFile) and self.origin.open_footage is StillPicture


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A video or a picture on this machine."""

    path: Path
    open_footage: Callable[[Path], Footage]

    def sessions(self, stop: Event) -> Iterator[Footage]:
        """The file's only session.

        Raises:
            BadSource: it cannot be opened as what its ending says.
        """
        check_readable(self.path)
        footage = self.open_footage(self.path)
        try:
            yield footage
        finally:
            footage.close()

    def session_id(self, footage: Footage, settings: bytes) -> str:
        """Twelve hexadecimal digits of the content and the settings: the same file run again is the same session."""
        digest = hashlib.sha256(fingerprint(self.path))
        digest.update(settings)
        return digest.hexdigest()[:12]


def sources_of(typed: Sequence[str]) -> list[Source]:
    """The sources that a user named: files, folders of files (in natural order), rtsp addresses. Ids are unique.

    Raises:
        SourceNotFound: there is no such file, or the folder holds nothing that can be looked at.
        RefusedSource: it is no regular file, its ending is unknown, or it may not be read.
    """
    found = [source for text in typed for source in _named(text)]
    return list(_with_unique_ids(found))


def _named(text: str) -> Iterator[Source]:
    if "://" in text:
        address = Address.parse(text)
        yield Source(readable_id(address.host), address.shown, Camera(address))
        return
    if not text.strip():
        raise SourceNotFound(f"an empty name is no source; {_WANTED}")
    path = Path(text)
    if stat.S_ISDIR(_mode(path)):
        yield from _in_folder(path)
        return
    check_readable(path)
    source = _file(path)
    if source is None:
        raise RefusedSource(f"{text} has the ending {path.suffix or '(none)'}; {_WANTED}")
    yield source


def _in_folder(folder: Path) -> list[Source]:
    try:
        entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=natural_order)
    except PermissionError as error:
        raise RefusedSource(f"{folder} may not be listed by this user; wanted a folder that can be read") from error
    # A link to nowhere is a source that cannot be opened: said when its turn comes, and the others go on.
    wanted = [entry for entry in entries if entry.is_file() or (entry.is_symlink() and not entry.exists())]
    files = [source for entry in wanted if (source := _file(entry))]
    if not files:
        raise SourceNotFound(f"{folder} holds {len(entries)} entries but no video or picture; {_WANTED}")
    return files


def _file(path: Path) -> Source | None:
    ending = path.suffix.lower()
    if ending in VIDEO_ENDINGS:
        return Source(readable_id(path.stem), str(path), LocalFile(path, VideoFile))
    if ending in STILL_ENDINGS:
        return Source(readable_id(path.stem), str(path), LocalFile(path, StillPicture))
    return None


def check_readable(path: Path) -> None:
    """Nothing, if this is a regular file that can be read; a pipe is not opened, because that may wait for ever.

    Raises:
        SourceNotFound: there is none.
        RefusedSource: it is something else, or may not be read.
    """
    mode = _mode(path)
    if not stat.S_ISREG(mode):
        raise RefusedSource(f"{path} is {_kind(mode)}; {_WANTED}")
    if not os.access(path, os.R_OK):
        raise RefusedSource(f"{path} may not be read by this user; wanted a file that can be read")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFound(f"there is no file or folder {path}; {_WANTED}") from error
    except (OSError, ValueError) as error:  # no permission, too long a name, a loop of links, a NUL
        raise RefusedSource(f"{str(path)[:200]!r} cannot be looked up ({_reason(error)}); {_WANTED}") from error


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key under which «clip2» comes before «clip10»."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], path.name


def readable_id(name: str) -> str:
    """The name in [a-z0-9_-], at most 48 characters, accents dropped; a name in another script becomes
    «source-» and six digits that depend on it alone, so that it is the same source in every run."""
    plain = unicodedata.normalize("NFKD", name.lower())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    kept = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:48].strip("-")
    return kept or f"source-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _with_unique_ids(sources: Iterable[Source]) -> Iterator[Source]:
    taken: set[str] = set()
    for source in sources:
        unique, n = source.id, 1
        while unique in taken:
            n += 1
            unique = f"{source.id}-{n}"
        taken.add(unique)
        yield replace(source, id=unique)


def fingerprint(path: Path) -> bytes:
    """32 bytes of a file's size and its first and last MiB: cheap on a film of hours.

    Raises:
        BadSource: it cannot be read any more.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest = hashlib.sha256(size.to_bytes(8, "little"))
            for start in (0, max(FINGERPRINT_BYTES, size - FINGERPRINT_BYTES)):
                file.seek(start)
                digest.update(file.read(FINGERPRINT_BYTES))
    except OSError as error:
        raise BadSource(
            f"{path} cannot be read any more ({error.strerror}); wanted the file as it was opened"
        ) from error
    return digest.digest()
