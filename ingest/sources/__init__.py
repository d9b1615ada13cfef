"""What a user typed, as sources that can be opened, and what of it is left out."""

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Protocol

from contract.errors import BadRequest, RefusedSource, SourceNotFound
from ingest.footage import Footage
from ingest.footage.stills import picture_file
from ingest.sources.camera import Camera
from ingest.sources.files import WANTED, LeftOut, LocalFile, check_readable, file_at, in_folder, mode_of
from ingest.sources.names import id_of_camera, id_of_file, id_of_name
from ingest.sources.uri import SourceUri, is_reference
from runtime.printing import printable, shown_path

__all__ = ["Asked", "LeftOut", "Origin", "Source", "asked_for", "sources_of"]

_ADDRESS = re.compile(r"(?i)[a-z][a-z0-9+.-]*://|(rtsps?|rtmps?|https?|srt|ftp|udp|tcp):")
_NAMED = re.compile(r"(?s)([^=/]+)=(.+)")


class Origin(Protocol):
    """Where the footage of a source comes from."""

    def sessions(self, stop: Event, track: int | None = None) -> Iterator[Footage]:
        """One footage per unbroken run, opened when asked for. A file has one, a camera one per connection.

        Args:
            stop: no further session is opened once it is set.
            track: the picture track of a file, from 1; None: the film.
        """

    def session_id(self, footage: Footage, settings: bytes) -> str:
        """The id of a session of this source: [a-z0-9]+."""


@dataclass(frozen=True, slots=True)
class Source:
    """A camera or a file under an id."""

    id: str  # [a-z0-9_-]+
    uri: str  # as typed and fit to be printed, without user or password
    origin: Origin
    name: str = ""  # that the user gave, fit to be printed; empty: none
    recorded_at: int | None = None  # µs since the epoch, of a file's first frame, where it has one of its own

    @property
    def live(self) -> bool:
        """Whether it goes on until it is stopped."""
        return isinstance(self.origin, Camera)

    @property
    def still(self) -> bool:
        """Whether it is one picture."""
        return isinstance(self.origin, LocalFile) and self.origin.open_footage is picture_file

    @property
    def shown(self) -> str:
        """What the user calls it: the name given, else the path or address."""
        return self.name or self.uri


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that the user asked for."""

    sources: tuple[Source, ...]  # to be looked at, each once, in the order in which they were named
    left_out: tuple[LeftOut, ...] = ()  # of the folders among them


def sources_of(typed: Sequence[str]) -> list[Source]:
    """The sources of `asked_for`, without what is left out."""
    return list(asked_for(typed).sources)


def asked_for(
    typed: Sequence[str], *, name: str | None = None, recursive: bool = False, must_answer: bool = False
) -> Asked:
    """The sources that a user named: files, folders of files (in natural order), rtsp addresses, `NAME=` before one.

    A file or camera that is named twice is one source; ids do not depend on what else is named.

    Args:
        name: that of the only source.
        recursive: look into the folders of folders.
        must_answer: a camera that is the only source has to answer when it is first called.

    Raises:
        SourceNotFound: there is no such file, or the folder holds nothing that can be looked at.
        RefusedSource: it is no regular file, its ending is unknown, or it may not be read.
        BadRequest: a name for several sources, or two sources of one name.
    """
    sources: dict[str, Source] = {}  # by place
    left_out: dict[Path, LeftOut] = {}
    for text in typed:
        for found in _named(text, name, recursive):
            if isinstance(found, LeftOut):
                left_out.setdefault(found.path, found)
            else:
                place = _place(found)
                sources[place] = _one_of(sources.get(place, found), found)
    if name is not None and len(sources) != 1:
        raise BadRequest(f"--name {printable(name)} is for one source, seen {len(sources)}; wanted NAME=FILE for each")
    _check_ids(sources.values())
    found_all = tuple(sources.values())
    if must_answer and len(found_all) == 1 and isinstance(found_all[0].origin, Camera):
        found_all = (replace(found_all[0], origin=replace(found_all[0].origin, must_answer=True)),)
    return Asked(found_all, tuple(left_out.values()))


def _one_of(first: Source, second: Source) -> Source:
    """One source for a place that was named twice: the one with a name."""
    if first.name and second.name and first.name != second.name:
        raise BadRequest(f"{first.uri} is named {first.name} and {second.name}; wanted one name")
    return second if second.name and not first.name else first


def _check_ids(sources: Iterable[Source]) -> None:
    places: dict[str, str] = {}
    for source in sources:
        other = places.setdefault(source.id, source.uri)
        if other != source.uri:
            raise BadRequest(f"{source.shown} is the name of {other} and of {source.uri}; wanted a name for each")


def _named(text: str, name: str | None, recursive: bool) -> Iterator[Source | LeftOut]:
    """What one typed word stands for."""
    if not text.strip():
        raise SourceNotFound(f"an empty name is no source; {WANTED}")
    if not _exists(text) and (split := _NAMED.fullmatch(text)) and not _ADDRESS.match(split[1]):
        name, text = split.groups()
    if not _exists(text) and (_ADDRESS.match(text) or is_reference(text)):
        address = SourceUri.parse(text)
        yield _called(Source(id_of_camera(address.host, address.url), address.shown, Camera(address)), name)
        return
    path = Path(text)
    if stat.S_ISDIR(mode_of(path)):
        if name is not None:
            raise BadRequest(f"{printable(name)} names the folder {shown_path(path)}; wanted a name for one file")
        yield from _in_folder(path, recursive)
        return
    check_readable(path)
    file = file_at(path)
    if file is None:
        raise RefusedSource(f"{printable(text)} has the ending {printable(path.suffix) or '(none)'}; {WANTED}")
    yield _called(_source(file), name)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long a name, a NUL
        return False


def _in_folder(folder: Path, recursive: bool) -> Iterator[Source | LeftOut]:
    seen, held = 0, 0
    for found in in_folder(folder, recursive=recursive):
        seen += 1
        held += isinstance(found, LocalFile)
        yield _source(found) if isinstance(found, LocalFile) else found
    if not held:
        raise SourceNotFound(f"{shown_path(folder)} holds {seen} entries but no video or picture; {WANTED}")


def _source(file: LocalFile) -> Source:
    return Source(id_of_file(file.path), shown_path(file.path), file)


def _called(source: Source, name: str | None) -> Source:
    if name is None:
        return source
    if not name.strip():
        raise BadRequest(f"an empty name for {source.uri}; wanted a word")
    return replace(source, id=id_of_name(name), name=printable(name))


def _place(source: Source) -> str:
    """What two names of the same file, or of the same stream of a camera, have in common."""
    if isinstance(source.origin, Camera):
        return id_of_camera(source.origin.address.host, source.origin.address.url)
    return id_of_file(source.origin.path) if isinstance(source.origin, LocalFile) else source.id
