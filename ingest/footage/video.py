"""Frames of a video file: every one that can be decoded, at its exact time, and holes where others were."""

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Event

import av

from contract.labels import GapReason
from ingest.footage import End, Frame, Hole, Item, Rgb
from ingest.footage.ahead import Ahead
from ingest.footage.clock import Clock
from ingest.footage.container import opened
from ingest.footage.decoding import Decoded, Track
from ingest.footage.survey import survey
from ingest.footage.upright import Stance, Upright, upright_size
from ingest.footage.whole import is_cut
from runtime.printing import printable

DELAYED_FRAMES = 32  # a decoder may put out this many earlier frames between damage and the hole that it leaves
AHEAD_BYTES = 48 << 20  # of pictures waiting between decoder and caller


class VideoFile:
    """A video file as footage. The first frame is already decoded, so that there is a picture is a fact, not a claim.

    Args:
        path: of a local file.
        track: the picture track to look at, from 1; None: the film, see `ingest.footage.tracks`.
        decode_threads: one costs the least CPU.

    Raises:
        BadSource: the file cannot be opened, or nothing in it can be decoded.
    """

    began_at = None
    down_since = None

    def __init__(self, path: Path, track: int | None = None, decode_threads: int = 1) -> None:
        with opened(path) as container:
            found = survey(container)
        self._container = opened(path)
        try:
            self._track = Track(
                self._container,
                printable(path.name),
                decode_threads=decode_threads,
                found=found,
                cut=is_cut(path),
                number=track,
            )
            self._decoded = self._track.frames()
            first = next(self._decoded, None)
            if first is None:
                raise self._track.nothing_decoded(printable(path.name))
        except BaseException:
            self._container.close()
            raise
        self._first = first
        self._ahead: Ahead | None = None
        claims = self._track.claims
        self.size_wh = session_size(first, self._track.sizes_wh)
        self.fps, self.duration, self.frames_expected = claims.fps, claims.duration, claims.frames
        self.start_offset = claims.offset
        self.notes = self._track.notes

    def items(self, stop: Event) -> Iterator[Item | None]:
        """All frames, holes, and the end, decoded on a thread of their own."""
        bytes_each = 3 * self.size_wh[0] * self.size_wh[1]
        depth = max(1, min(8, AHEAD_BYTES // bytes_each))
        items = items_of(self._track, self._first, self._decoded, self.size_wh)
        self._ahead = Ahead(items, self._let_go, depth, keep_all=True)
        return self._ahead.until(stop)

    def close(self) -> None:
        """Let go of the file; a thread that still reads it does so when it ends."""
        if self._ahead is None:
            self._let_go()
        else:
            self._ahead.close()

    def _let_go(self) -> None:
        self._decoded.close()
        self._container.close()


def session_size(first: Decoded, later_wh: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """(width, height) in square px, upright: the frame of reference of all boxes of a session. The largest of the
    first frame's size and the sizes known to come later, with the proportions that it has then."""
    sizes = [(first.frame.width, first.frame.height), *later_wh]
    return max((upright_size(*size, first.stance) for size in sizes), key=lambda size: size[0] * size[1])


def items_of(track: Track, first: Decoded, others: Iterable[Decoded], size_wh: tuple[int, int]) -> Generator[Item]:
    """All frames of a track, holes, and the end, on one line of media time."""
    claims = track.claims
    clock = Clock(claims.step, claims.start, claims.limit)
    upright = Upright(size_wh)
    holes = _Holes(claims.step, claims.pause)
    for current, following in with_next(chain([first], others)):
        time = clock.place(current.stamp, following.stamp if following else None)
        yield from holes.before(current, time)
        lasts = current.lasts or claims.step
        yield Frame(current.index, time, time + lasts, partial(_picture, upright, current.frame, current.stance))
        holes.until = max(holes.until, time + lasts)
    for hole in track.hole_at_the_end(holes.until):
        yield hole
        if hole.reason is not GapReason.TRUNCATED:  # what a file does not hold is no part of it
            holes.until = max(holes.until, hole.end)
    yield End(track.frames_counted, holes.until)


class _Holes:
    """Tells a hole that damage left from the pauses of a variable frame rate."""

    def __init__(self, step: int, pause: int) -> None:
        self._step = step
        self._pause = pause
        self.until = 0  # µs, where the last frame ends
        self._reason: GapReason | None = None
        self._patience = 0
        self._size: tuple[int, int] | None = None

    def before(self, decoded: Decoded, time: int) -> Iterator[Hole]:
        """The hole that ends with this frame at `time`: of damage, of a change of size, or longer than any pause."""
        size = (decoded.frame.width, decoded.frame.height)
        if decoded.damage_before:
            self._reason, self._patience = GapReason.DECODE_ERROR, DELAYED_FRAMES
        elif self._size is not None and size != self._size:
            self._reason, self._patience = GapReason.RESOLUTION_CHANGE, DELAYED_FRAMES
        self._size = size
        missing = time - self.until
        if self._reason is not None and missing > self._step // 2:
            yield Hole(self.until, time, self._reason)
            self._reason = None
        elif missing > self._pause:
            yield Hole(self.until, time, GapReason.NO_FRAMES)
        self._patience -= 1
        if self._patience <= 0:
            self._reason = None


def _picture(upright: Upright, frame: av.VideoFrame, stance: Stance) -> Rgb | None:
    """The picture; None where FFmpeg cannot convert what a damaged stream declares."""
    try:
        return upright(frame, stance)
    except (av.FFmpegError, ValueError):
        return None


def with_next(items: Iterable[Decoded]) -> Iterator[tuple[Decoded, Decoded | None]]:
    """Each item with its successor; None after the last."""
    waiting: Decoded | None = None
    for item in items:
        if waiting is not None:
            yield waiting, item
        waiting = item
    if waiting is not None:
        yield waiting, None
