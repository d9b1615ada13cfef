"""Videos and pictures on this machine: one file, or those of a folder."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from contract.errors import BadSource, RefusedSource, SourceNotFound
from ingest.footage import Footage
from ingest.footage.stills import picture_file
from ingest.footage.video import VideoFile
from ingest.sources.names import mark_of, natural_order
from runtime.printing import printable, shown_path

VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts"),
    *(".mpg", ".mpeg", ".vob", ".3gp", ".3g2", ".flv", ".f4v", ".wmv", ".asf", ".ogv", ".gif"),
)
STILL_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

WANTED = f"wanted one of {' '.join((*VIDEO_ENDINGS, *STILL_ENDINGS))}, a folder of them, or an rtsp:// address"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A video or a picture on this machine."""

    path: Path
    open_footage: Callable[[Path, int | None], Footage]

    def sessions(self, stop: Event, track: int | None = None) -> Iterator[Footage]:
        """The file's only session.

        Raises:
            BadSource: it cannot be opened as what its ending says.
        """
        check_readable(self.path)
        footage = self.open_footage(self.path, track)
        try:
            yield footage
        finally:
            footage.close()

    def session_id(self, footage: Footage, settings: bytes) -> str:
        """Twelve of a-z, 2-7 made of content and settings: the same file run again is the same session.

        No hexadecimal digits: «53000000e12» in a table of one session would be read as a number.
        """
        return mark_of(fingerprint(self.path) + settings, 12)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a folder holds and nobody looks at."""

    path: Path
    reason: str  # «its ending is .heic», one line


def file_at(path: Path) -> LocalFile | None:
    """The video or picture of this name; None: its ending is none of ours."""
    ending = path.suffix.lower()
    if ending in VIDEO_ENDINGS:
        return LocalFile(path, VideoFile)
    return LocalFile(path, picture_file) if ending in STILL_ENDINGS else None


def in_folder(folder: Path, *, recursive: bool) -> Iterator[LocalFile | LeftOut]:
    """Everything that a folder holds, in natural order, its files before its folders; links to folders are not entered.

    Raises:
        RefusedSource: it may not be listed by this user.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), natural_order(entry)))
    except PermissionError as error:
        shown = shown_path(folder)
        raise RefusedSource(f"{shown} may not be listed by this user; wanted a folder that can be read") from error
    for entry in entries:
        if entry.is_dir() and recursive and not entry.is_symlink() and not entry.name.startswith("."):
            yield from _in_sub_folder(entry)
        else:
            yield _found(entry)


def _in_sub_folder(folder: Path) -> Iterator[LocalFile | LeftOut]:
    try:
        yield from in_folder(folder, recursive=True)
    except RefusedSource:
        yield LeftOut(folder, "a sub-folder that this user may not list")


def _found(entry: Path) -> LocalFile | LeftOut:
    # A link to nowhere is a source that cannot be opened: it fails when its turn comes, and the others go on.
    wanted = entry.is_file() or (entry.is_symlink() and not entry.exists())
    file = file_at(entry) if wanted else None
    if entry.name.startswith("."):
        return LeftOut(entry, "hidden, as its name begins with a dot")
    if entry.is_dir():
        reason = "a link to a folder" if entry.is_symlink() else "a sub-folder; --recursive looks into it"
        return LeftOut(entry, reason)
    if not wanted:
        return LeftOut(entry, "no regular file")
    return file or LeftOut(entry, f"its ending is {printable(entry.suffix) or '(none)'}")


def check_readable(path: Path) -> None:
    """Check that this is a regular file that can be read; a pipe is not opened, because that may wait for ever.

    Raises:
        SourceNotFound: there is none.
        RefusedSource: it is something else, or may not be read.
    """
    mode = mode_of(path)
    if not stat.S_ISREG(mode):
        raise RefusedSource(f"{shown_path(path)} is {_kind(mode)}; {WANTED}")
    if not os.access(path, os.R_OK):
        raise RefusedSource(f"{shown_path(path)} may not be read by this user; wanted a file that can be read")


def mode_of(path: Path) -> int:
    """What is at a path, as `stat` names it.

    Raises:
        SourceNotFound: nothing.
        RefusedSource: it cannot be looked up.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceNotFound(f"there is no file or folder {shown_path(path)}; {WANTED}") from error
    except (OSError, ValueError) as error:  # no permission, too long a name, a loop of links, a NUL
        seen = shown_path(path)[:200]
        raise RefusedSource(f"{seen} cannot be looked up ({_reason(error)}); {WANTED}") from error


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


def fingerprint(path: Path) -> bytes:
    """32 bytes (SHA-256) of a file's whole content, so that a film mended in its middle is another one.

    A gigabyte takes 1 to 4 s, a few hundredths of the time in which it is looked at.

    Raises:
        BadSource: it cannot be read any more.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise BadSource(
            f"{shown_path(path)} cannot be read any more ({error.strerror}); wanted the file as it was opened"
        ) from error
