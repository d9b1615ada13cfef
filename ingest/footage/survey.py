"""What the packets of a file show before anything is decoded: claims of headers are checked against it.

A file is read once up to `SURVEYED_BYTES` (a minute of broadcast television, an hour of a phone's call); of a longer
one this beginning speaks for the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.packet import Packet

from ingest.footage import fences
from ingest.footage.clock import LEAP_US
from ingest.footage.nal import length_size, units

SURVEYED_BYTES = 64 << 20
SURVEYED_PACKETS = 200_000
SIZES = 32  # changes of size that are followed up
FAILED_READS = 20
EVEN = 0.9  # share of steps near the middle one from which a frame rate counts as constant
PAUSE_US = 1_000_000  # a pause of a constant frame rate that is longer is no frame that lasts long
PAUSE_STEPS = 5  # of the longest usual steps
LEADING_FRAMES = 64  # the earliest stamp is among so many


@dataclass(slots=True)
class TrackSurvey:
    """The packets of one picture track."""

    frames: int = 0
    first: int | None = None  # µs, the earliest stamp of the first packets
    last: int | None = None  # µs, the latest stamp
    steps: list[int] = field(default_factory=list)  # µs from packet to packet, in order of decoding
    resets: int = 0  # how often the clock was set back, or far forward
    sizes_wh: list[tuple[int, int]] = field(default_factory=list)  # of the pictures at changes of size, as coded
    by_order: bool = False  # stamps are those of decoding: the n-th frame shown has the n-th of them (AVI)
    _decoded: int | None = None  # µs, when the last packet with a stamp is decoded
    _since: int = 0  # packets since then
    _mark: bytes | None = None

    @property
    def step(self) -> int | None:
        """µs from one frame to the next: the middle one of all steps. None: fewer than two frames."""
        if self.even and self.fps:
            return round(1e6 / self.fps)
        return self._step_at(0.5)

    @property
    def span(self) -> int | None:
        """µs from the first frame to the end of the last one, however often the clock was set."""
        if self.first is None or self.last is None:
            return None
        between = sum(self.steps) + self.resets * (self.step or 0) if self.resets else self.last - self.first
        return between + (self.step or 0)

    @property
    def even(self) -> bool:
        """Whether the frame rate is constant."""
        return bool(self.steps) and len(self._usual()) >= EVEN * len(self.steps)

    @property
    def pause(self) -> int:
        """µs: a longer step is time without frames."""
        return max(PAUSE_US, PAUSE_STEPS * (self._step_at(0.95) or 0))

    @property
    def fps(self) -> float | None:
        """Frames per second on average, pauses left out. None: fewer than two frames."""
        if not self.steps:
            return None
        pause = self.pause
        steps = self._usual() if self.even else [step for step in self.steps if step <= pause]
        return 1e6 * len(steps) / sum(steps)

    def _usual(self) -> list[int]:
        """The steps near the middle one."""
        middle = self._step_at(0.5) or 0
        return [step for step in self.steps if abs(step - middle) <= 0.2 * middle + 1000]

    def _step_at(self, share: float) -> int | None:
        return sorted(self.steps)[int(share * (len(self.steps) - 1))] if self.steps else None

    def take(self, packet: "Packet[Any]", mark: bytes | None) -> bool:
        """Take a packet in; True: its picture may have another size than those before."""
        self.frames += 1
        stamp = packet.dts if self.by_order or packet.pts is None else packet.pts
        self._since += 1
        if packet.dts is not None:
            self._step_to(in_us(packet.dts, packet.time_base))
        if stamp is not None and not self.resets:
            time = in_us(stamp, packet.time_base)
            if self.frames <= LEADING_FRAMES:
                self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(time, self.last)
        changed = mark is not None and mark != self._mark
        self._mark = mark or self._mark
        return changed

    def _step_to(self, decoded: int) -> None:
        passed = None if self._decoded is None else decoded - self._decoded
        if passed is not None and 0 < passed <= LEAP_US:
            self.steps += [passed // self._since] * self._since
        elif passed:
            self.resets += 1
        self._decoded, self._since = decoded, 0


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in a file."""

    tracks: dict[int, TrackSurvey]  # picture tracks, by the number of their stream
    others_end: int  # µs, the latest stamp of the other tracks
    sounds: bool  # there is a track of sound
    whole: bool  # the file was read to its end


def survey(container: InputContainer) -> Survey:
    """What the packets of an opened container show; it is read and must be opened anew for anything else."""
    pictures = [stream for stream in container.streams.video if stream.codec_context is not None]
    by_order = container.format.name == "avi"
    tracks = {stream.index: TrackSurvey(by_order=by_order) for stream in pictures}
    for stream in pictures:
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.options = dict(fences.CODEC_OPTIONS)
    size = count = others_end = 0
    whole = True
    for packet in _packets(container):
        track = tracks.get(packet.stream_index)
        if track is None:
            stamp = packet.pts if packet.pts is not None else packet.dts
            others_end = max(others_end, in_us((stamp or 0) + (packet.duration or 0), packet.time_base))
        elif packet.size and not packet.is_discard:
            mark = _size_mark(packet) if packet.is_keyframe else None
            if track.take(packet, mark) and len(track.sizes_wh) < SIZES:
                track.sizes_wh += _sizes_of(packet, track.sizes_wh)
        size, count = size + packet.size, count + 1
        if size > SURVEYED_BYTES or count > SURVEYED_PACKETS:
            whole = False
            break
    return Survey(tracks, others_end, bool(container.streams.audio), whole)


def _packets(container: InputContainer) -> "Iterator[Packet[Any]]":
    failures = 0
    while failures < FAILED_READS:
        try:
            yield from container.demux()
            return
        except Exception:  # noqa: BLE001 - damaged files raise more than FFmpegError (IndexError, UnicodeDecodeError)
            failures += 1


def _size_mark(packet: "Packet[Any]") -> bytes | None:
    """Bytes that change whenever the size of the picture does; None: not known of this codec."""
    if packet.has_sidedata("new_extradata"):
        return b"new" + packet.dts.to_bytes(8, "little", signed=True) if packet.dts is not None else b"new"
    name = packet.stream.codec_context.name
    content = bytes(memoryview(packet)[:4096])
    if name in ("h264", "hevc"):
        extradata = packet.stream.codec_context.extradata or b""
        prefix = length_size(extradata) if name == "h264" else (4 if extradata[:1] == b"\1" else None)
        sets = (7,) if name == "h264" else (33,)
        shift, mask = (0, 31) if name == "h264" else (1, 63)
        return (
            b"".join(unit[:64] for unit in units(content, prefix) if unit and unit[0] >> shift & mask in sets) or None
        )
    if name in ("mpeg1video", "mpeg2video"):
        at = content.find(b"\0\0\1\xb3")
        return content[at : at + 12] if at >= 0 else None
    if name == "vp8":
        return content[6:10]
    if name in ("vp9", "libvpx-vp9"):
        return content[:10]
    return content[2:16] if name in ("libdav1d", "av1") else None


def _sizes_of(packet: "Packet[Any]", known: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The size of the picture in a packet, if it is not among those that are known."""
    context = packet.stream.codec_context
    try:
        frames = [*packet.decode(), *context.decode(None)]
        context.flush_buffers()
    except Exception:  # noqa: BLE001 - see _packets
        return
    for frame in frames[:1]:
        if (frame.width, frame.height) not in known and fences.fits(frame.width, frame.height):
            yield frame.width, frame.height


def in_us(ticks: int, time_base: Fraction | None) -> int:
    """Ticks of a time base as whole µs, halves rounded up."""
    base = time_base or Fraction(1, 1_000_000)
    return (2 * ticks * base.numerator * 1_000_000 + base.denominator) // (2 * base.denominator)
