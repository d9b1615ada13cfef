"""Frames of a video file: every one that can be decoded, at its exact time, and holes where others were."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from contract.errors import NoVideoInSource, UnreadableVideo
from contract.labels import GapReason
from ingest.footage import End, Frame, Hole, Item, Rgb, fences
from ingest.footage.ahead import Ahead
from ingest.footage.clock import Clock
from ingest.footage.container import WANTED, Claims, claims_of, in_us, opened, picture_track
from ingest.footage.upright import Upright, upright_size

FAILED_READS = 100  # read errors in a row after which the rest of the file is given up
DELAYED_FRAMES = 32  # a decoder may put out this many earlier frames between damage and the hole that it leaves
AHEAD_BYTES = 48 << 20  # of pictures waiting between decoder and caller


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A frame as the decoder gave it."""

    frame: av.VideoFrame
    stamp: int | None  # µs on the container's clock
    lasts: int | None  # µs
    damage_before: bool  # packets since the last frame could not be read or decoded


class VideoFile:
    """A video file as footage. The first frame is already decoded, so its size is a fact and not a claim.

    Raises:
        BadSource: the file cannot be opened, or nothing in it can be decoded.
    """

    began_at = None
    down_since = None

    def __init__(self, path: Path, decode_threads: int = 1) -> None:
        self._container = opened(path)
        try:
            self._track = Track(self._container, path.name, decode_threads=decode_threads)
            self._decoded = self._track.frames()
            first = next(self._decoded, None)
            if first is None:
                raise self._track.nothing_decoded(path.name)
        except BaseException:
            self._container.close()
            raise
        self._first = first
        self._ahead: Ahead | None = None
        self.size_wh = upright_size(first.frame)
        self.fps = self._track.claims.fps
        self.duration = self._track.claims.duration
        self.frames_expected = self._track.claims.frames

    def items(self, stop: Event) -> Iterator[Item | None]:
        """All frames, holes, and the end, decoded on a thread of their own."""
        bytes_each = 3 * self.size_wh[0] * self.size_wh[1]
        depth = max(1, min(8, AHEAD_BYTES // bytes_each))
        items = items_of(self._track, self._first, self._decoded)
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


def items_of(track: "Track", first: Decoded, others: Iterable[Decoded]) -> Generator[Item]:
    """All frames of a track, holes, and the end, on one line of media time."""
    claims = track.claims
    clock = Clock(claims.step, claims.start, claims.limit)
    upright = Upright(upright_size(first.frame))
    holes = _Holes(claims.step)
    index = 0
    for current, following in with_next(chain([first], others)):
        time = clock.place(current.stamp, following.stamp if following else None)
        yield from holes.before(current, time)
        lasts = current.lasts or claims.step
        yield Frame(index, time, time + lasts, partial(_picture, upright, current.frame))
        index += 1
        holes.until = max(holes.until, time + lasts)
    yield from track.hole_at_the_end(holes.until)
    yield End(index, holes.until)


class Track:
    """The picture track of a container: its frames in order, with damage noted instead of raised.

    Args:
        container: opened behind fences.
        name: for error messages.
        decode_threads: one costs the least CPU; the caller works meanwhile.
        live: the stamps begin anywhere and nothing is claimed; a read error ends the session.
    """

    def __init__(self, container: InputContainer, name: str, *, decode_threads: int, live: bool = False) -> None:
        self._container = container
        self._live = live
        self._stream: VideoStream = picture_track(container, name)
        claims = claims_of(container, self._stream)
        self.claims: Claims = Claims(None, None, True, claims.fps, None) if live else claims
        context = self._stream.codec_context
        context.thread_type = "NONE" if decode_threads == 1 else "AUTO"
        context.thread_count = decode_threads
        context.options = dict(fences.CODEC_OPTIONS)
        self._damage = False
        self._flushed = False
        self._packets = 0
        self._furthest = 0  # µs of media time, of packets of the picture track
        self._furthest_of_others = 0

    def frames(self) -> Generator[Decoded]:
        """All frames that can be decoded."""
        for packet in chain(self._read(), self._flushing()):
            if packet.stream is not self._stream:  # the flushing packet has the stream, but not its index
                self._furthest_of_others = max(self._furthest_of_others, self._end_of(packet))
                continue
            self._packets += 1 if packet.size else 0
            self._flushed = not packet.size
            self._furthest = max(self._furthest, self._end_of(packet))
            for frame in self._decode(packet):
                if frame.is_corrupt or not fences.fits(frame.width, frame.height):
                    self._damage = True
                    continue
                yield self._as_decoded(frame)

    def nothing_decoded(self, name: str) -> NoVideoInSource | UnreadableVideo:
        """The error for a track that gave no frame."""
        if self._packets == 0:
            return NoVideoInSource(f"{name} has a video track without a single frame; {WANTED}")
        return UnreadableVideo(f"{name}: none of the {self._packets} pictures in it can be decoded; {WANTED}")

    def hole_at_the_end(self, until: int) -> Iterator[Hole]:
        """What lies between the last frame and the end that the container claims."""
        claimed, step = self.claims.duration, self.claims.step
        tolerance = max(3 * step, 250_000)
        if claimed is None or claimed - until <= tolerance:
            return
        if self._damage and self._furthest >= claimed - tolerance:
            yield Hole(until, claimed, GapReason.DECODE_ERROR)
        elif self.claims.for_track or self._furthest_of_others < claimed - tolerance:
            yield Hole(until, claimed, GapReason.TRUNCATED)

    def _read(self) -> "Iterator[Packet[Any]]":
        failures = 0
        while failures < FAILED_READS:
            try:
                for packet in self._container.demux():
                    failures = 0
                    yield packet
                return
            except Exception:  # noqa: BLE001 - damaged files raise more than FFmpegError (IndexError, UnicodeDecodeError)
                if self._live:
                    return
                failures += 1
                self._damage = True

    def _flushing(self) -> "Iterator[Packet[Any]]":
        """The empty packet that brings out the decoder's last frames, where a broken file never came to it."""
        if not self._flushed:
            packet = Packet()
            packet.stream = self._stream
            yield packet

    def _decode(self, packet: "Packet[Any]") -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except Exception:  # noqa: BLE001 - see _read
            self._damage = True
            return []

    def _end_of(self, packet: "Packet[Any]") -> int:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            return 0
        return in_us(stamp + (packet.duration or 0), packet.time_base) - (self.claims.start or 0)

    def _as_decoded(self, frame: av.VideoFrame) -> Decoded:
        base = frame.time_base or self._stream.time_base
        stamp = None if frame.pts is None else in_us(frame.pts, base)
        lasts = in_us(frame.duration, base) if frame.duration else None
        decoded = Decoded(frame, stamp, lasts, self._damage)
        self._damage = False
        return decoded


class _Holes:
    """Tells a hole that damage left from the pauses of a variable frame rate."""

    def __init__(self, step: int) -> None:
        self._step = step
        self.until = 0  # µs, where the last frame ends
        self._reason: GapReason | None = None
        self._patience = 0
        self._size: tuple[int, int] | None = None

    def before(self, decoded: Decoded, time: int) -> Iterator[Hole]:
        """The hole that ends with this frame at `time`, if damage or a change of size explains it."""
        size = (decoded.frame.width, decoded.frame.height)
        if decoded.damage_before:
            self._reason, self._patience = GapReason.DECODE_ERROR, DELAYED_FRAMES
        elif self._size is not None and size != self._size:
            self._reason, self._patience = GapReason.RESOLUTION_CHANGE, DELAYED_FRAMES
        self._size = size
        if self._reason is not None and time - self.until > self._step // 2:
            yield Hole(self.until, time, self._reason)
            self._reason = None
        self._patience -= 1
        if self._patience <= 0:
            self._reason = None


def _picture(upright: Upright, frame: av.VideoFrame) -> Rgb | None:
    """The picture; None where FFmpeg cannot convert what a damaged stream declares."""
    try:
        return upright(frame)
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
