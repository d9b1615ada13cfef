"""Which packets are missing or damaged, and which pictures are built on them."""

from collections.abc import Iterator
from typing import Any

import av
from av.packet import Packet
from av.video.stream import VideoStream

from ingest.footage.container import Claims
from ingest.footage.nal import LOOKED_THROUGH, PictureNumbers
from ingest.footage.survey import in_us

IN_FLIGHT = 64  # pictures that a decoder may hold back
ONE_EACH = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg")  # codecs with one picture shown per packet
JOINT = 2  # packets before the joint of two recordings of which FFmpeg takes the last for a damaged one
LOST_STEPS = 1.6  # from one packet to the next: more is a packet lost, where the frame rate is constant


def with_damage(packets: "Iterator[Packet[Any]]") -> "Iterator[tuple[Packet[Any], bool]]":
    """Each packet and whether it is damaged. Where two recordings were joined, FFmpeg takes the last packets before
    the joint for damaged: those that it marks wait until it shows whether a key frame follows at once."""
    held: list[Packet[Any]] = []
    for packet in packets:
        held.append(packet)
        if not held[0].is_corrupt or len(held) > JOINT or not packet.size:
            yield from _settled(held)
            held = []
    yield from _settled(held)


def _settled(held: "list[Packet[Any]]") -> "Iterator[tuple[Packet[Any], bool]]":
    joint = next((at for at, each in enumerate(held) if each.is_keyframe and not each.is_corrupt), 0)
    for at, packet in enumerate(held):
        yield packet, packet.is_corrupt and at >= joint


class InFlight:
    """The packets that went into the decoder and whose frames did not come out yet, in order of decoding."""

    def __init__(self, *, by_order: bool, one_each: bool) -> None:
        self._by_order = by_order  # stamps are those of decoding: the n-th frame shown has the n-th of them
        self._one_each = one_each
        self._sound = True  # the last packet
        self._waiting: list[tuple[int, bool]] = []  # stamp, and whether nothing it is built on is lost

    @property
    def left(self) -> int:
        """Packets that gave no frame."""
        return len(self._waiting) if self._one_each else 0

    def put(self, packet: "Packet[Any]", *, sound: bool) -> None:
        """A packet goes into the decoder."""
        stamp = packet.dts if self._by_order else packet.pts
        self._sound = sound
        if stamp is not None:
            self._waiting.append((stamp, sound))
            del self._waiting[:-IN_FLIGHT]

    def take(self, frame: av.VideoFrame) -> tuple[bool, int, int | None]:
        """Whether this frame is sound, how many before it never came out, and its stamp in ticks."""
        if self._by_order:
            at = min(range(len(self._waiting)), key=self._waiting.__getitem__, default=None)
        else:
            at = next((at for at, (stamp, _) in enumerate(self._waiting) if stamp == frame.pts), None)
        if at is None:  # a packet without a stamp, or one of its frames
            return self._sound, 0, frame.pts
        stamp, sound = self._waiting.pop(at)
        before = [each for each in self._waiting[:at] if each[0] < stamp]  # what is shown before came before, or never
        for each in before:
            self._waiting.remove(each)
        lost = len(before) if self._one_each and not frame.interlaced_frame else 0
        return sound, lost, stamp


class Losses:
    """Finds packets whose picture is built on one that is damaged or was lost."""

    def __init__(self, stream: VideoStream, claims: Claims, *, broadcast: bool) -> None:
        context = stream.codec_context
        numbered = context.name == "h264"
        self._numbers = PictureNumbers(context.extradata or b"") if numbered else None
        self._watched = broadcast and claims.even and context.name in ONE_EACH
        self._step = claims.step
        self._last: int | None = None  # µs, when the last packet is decoded
        self._lost = False
        self._since_key: int | None = None  # stamp of the key frame after damage: what is shown before it is spoilt

    def spoil(self) -> None:
        """What follows is built on damage, up to the next key frame."""
        self._lost, self._since_key = True, None

    def is_sound(self, packet: "Packet[Any]", damaged: bool) -> bool:
        """Whether the picture of this packet, the next in order of decoding, has all that it is built on."""
        missing = self._is_missing_before(packet)
        if packet.is_keyframe and not damaged:
            self._since_key = packet.pts if self._lost or missing else self._since_key
            self._lost = False
            return True
        if missing or damaged:
            self.spoil()
        leading = self._since_key is not None and packet.pts is not None and packet.pts < self._since_key
        return not self._lost and not leading

    def _is_missing_before(self, packet: "Packet[Any]") -> bool:
        time = None if packet.dts is None else in_us(packet.dts, packet.time_base)
        passed = 0 if time is None or self._last is None else time - self._last
        self._last = time
        if self._numbers is not None:
            missing = self._numbers.missing_before(bytes(memoryview(packet)[:LOOKED_THROUGH]))
            cycle, lost = self._numbers.cycle, round(passed / self._step) - 1
            hidden = lost > 0 and lost % cycle in (0, cycle - 1)  # the next number is then the next one, or the same
            return missing or (self._watched and hidden)
        return self._watched and passed > LOST_STEPS * self._step
