"""A picture file as a source of one frame, or of some where the picture moves."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

from contract.errors import RefusedSource, UnreadableVideo
from ingest.footage import End, Footage, Frame, Item, Rgb, fences, unpacking
from ingest.footage.sniff import kind_of
from ingest.footage.stated import jpeg_is_cut, moves_as_video, moves_as_webp, pages_of, stated_size
from ingest.footage.video import VideoFile
from runtime.printing import printable

WANTED = "wanted a JPEG, PNG, WebP, BMP or TIFF picture"
END_OF_JPEG = b"\xff\xd9"


def picture_file(path: Path, track: int | None = None) -> Footage:
    """A picture as footage: one frame, or all frames of an animated GIF, PNG or WebP.

    Args:
        path: of a local file; its content counts, not its ending.
        track: of no meaning here.

    Raises:
        UnreadableVideo: it is empty, damaged or no picture.
        RefusedSource: it is larger than `fences` allow, or unpacks to more than it states.
    """
    content = _content(path)
    if moves_as_video(content):
        return VideoFile(path, track)
    return MovingPicture(path, content) if moves_as_webp(content) else StillPicture(path, content)


class _Picture:
    """What all pictures have in common as footage."""

    fps: float | None = None
    duration: int | None = None
    frames_expected: int | None = 1
    began_at = None
    down_since = None
    start_offset = 0

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        self.size_wh = (0, 0)

    def close(self) -> None:
        """Nothing is held open."""


class StillPicture(_Picture):
    """A picture file as footage of one frame at media time 0.

    Raises:
        UnreadableVideo: it is empty, damaged or no picture.
        RefusedSource: its header states more than `fences.MAX_STILL_PIXELS`, or less than it unpacks to.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        super().__init__()
        content = _content(path) if content is None else content
        name = printable(path.name)
        size_wh = _size(content, name)
        if jpeg_is_cut(content):  # as much as there is of it, as of a video
            content += END_OF_JPEG
            self.notes = ("is cut off: the picture is looked at as far as it goes",)
        pages = pages_of(content)
        if pages > 1:
            self.notes = (f"has {pages} pages; only the first is looked at",)
        try:
            self._rgb = unpacking.picture(content, size_wh)
        except unpacking.Exceeded as error:
            raise _too_much(name, content, size_wh) from error
        except unpacking.Failed as error:
            raise _damaged(name, content) from error
        self.size_wh = (self._rgb.shape[1], self._rgb.shape[0])

    def items(self, stop: Event) -> Iterator[Item | None]:
        """The one frame, and the end."""
        yield Frame(0, 0, 1, lambda: self._rgb)
        yield End(1, 1)


class MovingPicture(_Picture):
    """An animated WebP as footage. FFmpeg does not read it; OpenCV unpacks it at once.

    Raises:
        UnreadableVideo: it is damaged.
        RefusedSource: its header states too much, or less than it unpacks to.
    """

    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__()
        name = printable(path.name)
        self.size_wh = _size(content, name)
        try:
            self._animation = unpacking.animation(content, self.size_wh)
        except unpacking.Exceeded as error:
            raise _too_much(name, content, self.size_wh) from error
        except unpacking.Failed as error:
            raise _damaged(name, content) from error
        frames, durations = self._animation.pictures, self._animation.durations
        stated = content.count(b"ANMF")
        if len(frames) < stated:
            self.notes = (f"has {stated} pictures; only the first {len(frames)} are looked at",)
        self.frames_expected, self.duration = len(frames), sum(durations)
        self.fps = 1e6 * len(frames) / self.duration

    def items(self, stop: Event) -> Iterator[Item | None]:
        """All frames at the times that the picture shows them when it is played once, and the end."""
        time = 0
        for index, (picture, lasts) in enumerate(zip(self._animation.pictures, self._animation.durations, strict=True)):
            yield Frame(index, time, time + lasts, partial(_itself, picture))
            time += lasts
        yield End(len(self._animation.pictures), time)


def _itself(picture: Rgb) -> Rgb:
    return picture


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > fences.MAX_STILL_BYTES:
            raise RefusedSource(
                f"{printable(path.name)} has {size >> 20} MiB; wanted at most "
                f"{fences.MAX_STILL_BYTES >> 20} MiB for a picture"
            )
        return path.read_bytes()
    except OSError as error:
        raise UnreadableVideo(f"{printable(path.name)} cannot be read ({error.strerror}); {WANTED}") from error


def _size(content: bytes, name: str) -> tuple[int, int]:
    """(width, height) in px that the header states, if that is one which is opened."""
    if not content:
        raise UnreadableVideo(f"{name} is empty (0 bytes); {WANTED}")
    size_wh = stated_size(content)
    if size_wh is None:
        raise UnreadableVideo(f"{name} holds {kind_of(content[:4096])}, with no readable size; {WANTED}")
    if not fences.fits(*size_wh, fences.MAX_STILL_PIXELS):
        width, height = size_wh
        raise RefusedSource(
            f"{name} is a picture of {width}x{height} px; "
            f"wanted 1 px to {fences.MAX_STILL_PIXELS // 1_000_000} megapixels, no side above {fences.MAX_SIDE}"
        )
    return size_wh


def _too_much(name: str, content: bytes, size_wh: tuple[int, int]) -> RefusedSource:
    return RefusedSource(
        f"{name} is {kind_of(content[:4096])} that unpacks to more than the {size_wh[0]}x{size_wh[1]} px which it "
        f"states; {WANTED}"
    )


def _damaged(name: str, content: bytes) -> UnreadableVideo:
    return UnreadableVideo(
        f"{name} is {kind_of(content[:4096])} that is damaged or cut off, or of a kind that is not read here; {WANTED}"
    )
