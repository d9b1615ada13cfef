"""The picture track of a container, decoded: every frame once, with damage noted instead of raised."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from contract.errors import NoVideoInSource, UnreadableVideo
from contract.labels import GapReason
from ingest.footage import Hole, fences
from ingest.footage.clock import Unwrapped
from ingest.footage.container import BROADCAST, Claims, claims_of
from ingest.footage.losses import LOST_STEPS, ONE_EACH, InFlight, Losses, with_damage
from ingest.footage.survey import Survey, in_us
from ingest.footage.tracks import WANTED, left_out, picture_track
from ingest.footage.upright import UPRIGHT, Stance, stance_of

FAILED_READS = 100  # read errors in a row after which the rest of the file is given up


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A frame as the decoder gave it."""

    frame: av.VideoFrame
    index: int  # of the frame in the file, counted over those that could not be decoded as well
    stamp: int | None  # µs on the container's clock
    lasts: int | None  # µs, as the container claims
    damage_before: bool  # frames since the last one are missing, or not as they were recorded
    stance: Stance


class Track:
    """The picture track of a container: its frames in order, with damage noted instead of raised.

    Frames that are built on damage or on a lost one are left out up to the next key frame: a decoder shows something
    in their place, smeared out of what it has.

    Args:
        container: opened behind fences.
        name: for error messages.
        decode_threads: one costs the least CPU; the caller works meanwhile.
        found: the packets of the file; None: a live stream, whose stamps begin anywhere and which claims nothing; a
            read error ends the session.
        cut: the file ends before its own structure does.
        number: the picture track that a user chose, from 1.

    Raises:
        BadSource: there is no track that can be looked at.
    """

    def __init__(
        self,
        container: InputContainer,
        name: str,
        *,
        decode_threads: int,
        found: Survey | None = None,
        cut: bool = False,
        number: int | None = None,
    ) -> None:
        self._container = container
        self._live = found is None
        self._stream: VideoStream = picture_track(container, name, found, number)
        self.notes = left_out(container, self._stream, found)
        rate = self._stream.average_rate or self._stream.guessed_rate
        live = Claims(fps=float(rate) if rate else None, step=round(1e6 / rate) if rate else 40_000)
        self.claims = live if found is None else claims_of(container, self._stream, found, cut=cut)
        self.sizes_wh = (
            found.tracks[self._stream.index].sizes_wh if found and self._stream.index in found.tracks else []
        )
        context = self._stream.codec_context
        context.thread_type = "NONE" if decode_threads == 1 else "AUTO"
        context.thread_count = decode_threads
        context.options = dict(fences.CODEC_OPTIONS)
        self._context = context
        self._aspect, self._coded_aspect = self._stream.sample_aspect_ratio, context.sample_aspect_ratio
        self._in_flight = InFlight(by_order=container.format.name == "avi", one_each=context.name in ONE_EACH)
        self._losses = Losses(self._stream, self.claims, broadcast=container.format.name in BROADCAST)
        self._unwrapped = Unwrapped() if container.format.name in BROADCAST else None
        self._stance = UPRIGHT
        self._damage = False
        self._flushed = False
        self._packets = 0
        self._index = 0
        self._furthest = 0  # µs of media time, of packets of the picture track

    def frames(self) -> Generator[Decoded]:
        """All frames that can be decoded and are as they were recorded."""
        own = (each for each in chain(self._read(), self._flushing()) if each.stream is self._stream)
        for packet, damaged in with_damage(own):
            if packet.size:
                self._send(packet, damaged)
            elif packet.dts is not None:
                continue  # an AVI's empty chunk: the picture before stays
            self._flushed = not packet.size
            for frame in self._decode(packet):
                sound, lost, stamp = self._in_flight.take(frame)
                self._index += lost + 1
                if lost or not sound or frame.is_corrupt or not fences.fits(frame.width, frame.height):
                    self._damage = True
                if sound and not frame.is_corrupt and fences.fits(frame.width, frame.height):
                    yield self._as_decoded(frame, stamp)

    def nothing_decoded(self, name: str) -> NoVideoInSource | UnreadableVideo:
        """The error for a track that gave no frame."""
        if self._packets == 0:
            return NoVideoInSource(f"{name} has a video track without a single frame; {WANTED}")
        return UnreadableVideo(f"{name}: none of the {self._packets} pictures in it can be decoded; {WANTED}")

    def hole_at_the_end(self, until: int) -> Iterator[Hole]:
        """What lies between the last frame and the end: packets that gave no frame, or what was cut off."""
        claims = self.claims
        tolerance = max(3 * claims.step, 250_000)
        if claims.cut and claims.duration is not None and claims.duration - until > tolerance:
            yield Hole(until, claims.duration, GapReason.TRUNCATED)
        elif self._damage and self._furthest - until > claims.step // 2:
            yield Hole(until, self._furthest, GapReason.DECODE_ERROR)

    @property
    def frames_counted(self) -> int:
        """Frames in the file so far, also those that could not be decoded."""
        return self._index + self._in_flight.left if self._damage else self._index

    def _send(self, packet: "Packet[Any]", damaged: bool) -> None:
        self._packets += 1
        self._furthest = max(self._furthest, self._end_of(packet))
        if packet.is_discard:
            return
        self._in_flight.put(packet, sound=self._losses.is_sound(packet, damaged))

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
                self._losses.spoil()

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
            self._losses.spoil()
            return []

    def _end_of(self, packet: "Packet[Any]") -> int:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            return 0
        lasts = in_us(packet.duration or 0, packet.time_base)
        end = in_us(stamp, packet.time_base) + (lasts if 0 < lasts <= self.claims.pause else self.claims.step)
        return min(end - (self.claims.start or 0), self.claims.limit)

    def _as_decoded(self, frame: av.VideoFrame, stamp: int | None) -> Decoded:
        base = frame.time_base or self._stream.time_base
        if stamp is not None and self._unwrapped is not None:
            stamp = self._unwrapped(stamp)
        lasts = in_us(frame.duration, base) if frame.duration else None
        longest = LOST_STEPS * self.claims.step if self.claims.even else self.claims.pause  # MP4 stretches over losses
        decoded = Decoded(
            frame,
            self._index - 1,
            None if stamp is None else in_us(stamp, base),
            lasts if lasts is None or 0 < lasts <= longest else None,
            self._damage,
            self._stance_of(frame),
        )
        self._damage = False
        return decoded

    def _stance_of(self, frame: av.VideoFrame) -> Stance:
        """How this frame must be turned; what an SEI message said last holds until another says something else."""
        matrix = frame.side_data.get("DISPLAYMATRIX")
        coded = self._context.sample_aspect_ratio
        aspect = coded if self._aspect == self._coded_aspect else self._aspect  # a container's own goes first
        if matrix is not None:
            self._stance = stance_of(np.frombuffer(cast(Any, matrix), np.int32), aspect)
        elif not self._stance.is_for(aspect):
            self._stance = self._stance.with_aspect(aspect)
        return self._stance
