"""The story of ingest: a source becomes sessions, frames, faces, records."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

from msgspec.structs import replace

from contract.labels import GapReason
from contract.records import Face, Gap, Progress, Record, SessionOpened
from ingest.faces.align import DegenerateLandmarks, cut
from ingest.faces.follow import SeenFace
from ingest.faces.quality import judge
from ingest.footage import End, Footage, Frame, Hole, Rgb
from ingest.sampling import sampler
from ingest.settings import IngestSettings
from ingest.sources import Source

PROGRESS_US = 1_000_000

log = logging.getLogger("ingest")
"""Lines for the user; where nobody set logging up, Python prints them to the terminal."""


class Following(Protocol):
    """What follows the faces of one session; `ingest.faces.follow.Follower` is one."""

    def see(self, frame_rgb: Rgb, media_time_us: int, /) -> list[SeenFace]:
        """The faces in the session's next frame, which is (H, W, 3) u8 RGB."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is already stored of a session, from an earlier run of the same file with the same settings."""

    high_water: int | None = None  # highest sequence stored; None: nothing
    interrupted_at: tuple[int, ...] = ()  # sequences of the interruptions that took numbers, as 1.0 wrote them
    closed: bool = False  # it was looked at to its end


def nothing_stored(source: str, session: str) -> Stored:
    """The state of a session that is new."""
    return Stored()


@dataclass(slots=True)
class Tally:
    """Where a run stands, for a progress bar. Written by one run, read by anybody."""

    frames: int = 0  # gone by in the session, looked at or not
    looked_at: int = 0
    faces: int = 0
    media_time: int = 0  # µs
    frames_expected: int | None = None
    duration: int | None = None  # µs


def records_of(
    source: Source,
    settings: IngestSettings,
    new_follower: Callable[[], Following],
    *,
    stored: Callable[[str, str], Stored] = nothing_stored,
    stop: Event | None = None,
    tally: Tally | None = None,
) -> Iterator[Record]:
    """The records of a source, in order; a file is read once, a camera until `stop` is set.

    Args:
        source: one of `ingest.sources.sources_of`.
        settings: how it is looked at.
        new_follower: makes the follower of one session; it may share a detector with others.
        stored: what is stored of a (source, session); such records are not emitted again, a closed session is not
            looked at again.
        stop: when set, a file ends with an INTERRUPTED gap to its end and stays open, a camera closes its session.
        tally: is kept up to date.

    Raises:
        BadSource: the file, or the camera's first connection, cannot be opened. Nothing was yielded before.
    """
    stop = stop or Event()
    tally = tally if tally is not None else Tally()
    if source.recorded_at is not None:
        settings = dataclasses.replace(settings, recorded_at=source.recorded_at)
    for footage in source.origin.sessions(stop, settings.track):
        session = source.origin.session_id(footage, settings.identity)
        tally.frames_expected, tally.duration = footage.frames_expected, footage.duration
        known = stored(source.id, session)
        for line in footage.notes:
            log.warning("mien: %s: %s", source.id, line)
        if not known.closed:
            records = _Session(source, session, settings, footage, tally).records(new_follower(), stop)
            yield from _new(_numbered(records, known), known)


def _numbered(records: Iterator[Record], stored: Stored) -> Iterator[Record]:
    """The records with their sequence: the same for every run of the session, as an interruption takes no number."""
    sequence = 0
    for record in records:
        while sequence in stored.interrupted_at:
            sequence += 2  # of version 1.0: the gap, and the progress after it
        yield replace(record, sequence=sequence)
        sequence += not (isinstance(record, Gap) and record.is_interruption)


def _new(records: Iterator[Record], stored: Stored) -> Iterator[Record]:
    """The records behind what is already stored."""
    return (record for record in records if stored.high_water is None or record.sequence > stored.high_water)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A stretch of media time in which faces below the wanted quality were left out; µs."""

    begin: int = 0
    end: int = 0
    faces: int = 0

    def with_face(self, frame: Frame) -> "LeftOut":
        """The stretch with a face of this frame."""
        return LeftOut(self.begin if self.faces else frame.media_time, frame.end, self.faces + 1)


@dataclass(slots=True)
class _Session:
    """One run over a session of a source, as records that are not numbered yet."""

    source: Source
    session: str
    settings: IngestSettings
    footage: Footage
    tally: Tally
    left_out: LeftOut = LeftOut()
    reported_at: int = 0  # µs of media time, of the last progress
    upto: int = 0  # µs of media time, exclusive: everything before is looked at
    frames: int = 0
    looked_at: int = 0

    def records(self, follower: Following, stop: Event) -> Iterator[Record]:
        """All records of the session."""
        yield from self._opening()
        wanted = sampler(self.settings.every_n, self.settings.sample_hz)
        for item in self.footage.items(stop):
            if stop.is_set():
                break
            if isinstance(item, Frame):
                if self.settings.end is not None and item.media_time >= self.settings.end:
                    yield from self._not_asked(item)
                    return
                if item.media_time >= (self.settings.begin or 0) and wanted(item.index, item.media_time):
                    yield from self._looked_at(item, follower)
            elif isinstance(item, Hole):
                yield from self._hole(item)
            elif isinstance(item, End):
                self.frames, self.upto = item.frames, max(self.upto, item.media_time)
                yield from self._left_out()
                yield self._progress(closed=True)
                return
        yield from self._interrupted()

    def _opening(self) -> Iterator[Record]:
        footage, settings = self.footage, self.settings
        yield SessionOpened(
            **self._head(),
            uri=self.source.uri,
            event_time=self._event_time(0),
            dated=footage.began_at is not None or settings.recorded_at is not None,
            size_wh=footage.size_wh,
            fps=footage.fps,
            sample_hz=self._sample_hz(),
            keeps_pictures=settings.keeps_pictures,
            start_offset_us=footage.start_offset,
            name=self.source.name,
            settings=settings.stated,
        )
        if settings.begin and footage.began_at is None:
            yield self._gap(0, settings.begin, GapReason.NOT_ASKED)
        if footage.down_since is not None and footage.began_at is not None:
            yield Gap(**self._head(), begin=footage.down_since, end=footage.began_at, reason=GapReason.SOURCE_DOWN)

    def _looked_at(self, frame: Frame, follower: Following) -> Iterator[Record]:
        if frame.media_time - self.reported_at >= PROGRESS_US:
            self.reported_at = self.upto = frame.media_time
            yield from self._left_out()
            yield self._progress(closed=False)
        picture = frame.picture()
        if picture is None:
            yield from self._hole(Hole(frame.media_time, frame.end, GapReason.DECODE_ERROR))
            return
        for seen in follower.see(picture, frame.media_time):
            face = self._face(frame, picture, seen)
            if face is not None and face.quality >= self.settings.min_quality:
                self.tally.faces += 1
                yield face
            elif face is not None:
                self.left_out = self.left_out.with_face(frame)
        self.frames, self.looked_at, self.upto = frame.index + 1, self.looked_at + 1, frame.media_time + 1
        self.tally.frames, self.tally.looked_at, self.tally.media_time = self.frames, self.looked_at, frame.media_time

    def _left_out(self) -> Iterator[Record]:
        """The stretch in which faces below the wanted quality were left out, if there is one."""
        seen, self.left_out = self.left_out, LeftOut()
        if seen.faces:
            gap = self._gap(seen.begin, seen.end, GapReason.LOW_QUALITY)
            yield replace(gap, faces=seen.faces)

    def _not_asked(self, frame: Frame) -> Iterator[Record]:
        """The end of what was asked for, and of the session."""
        yield from self._left_out()
        end = max(self.footage.duration or 0, frame.end)
        yield self._gap(frame.media_time, end, GapReason.NOT_ASKED)
        self.frames, self.upto = frame.index, end
        yield self._progress(closed=True)

    def _hole(self, hole: Hole) -> Iterator[Record]:
        if hole.reason is GapReason.DROPPED and hole.end - hole.begin < self._between_samples():
            return  # no sample is lost, one is at most late
        yield self._gap(hole.begin, hole.end, hole.reason)
        self.upto = max(self.upto, hole.end)

    def _face(self, frame: Frame, picture: Rgb, seen: SeenFace) -> Face | None:
        try:
            crop = cut(picture, seen.landmarks, self.settings.crop_edge)
            quality = judge(crop, seen.landmarks, seen.score, picture.shape[1::-1])
        except DegenerateLandmarks:
            return None  # the points of a face that is being lost may collapse
        x, y, width, height = (float(side) for side in seen.box_xywh)
        return Face(
            **self._head(),
            event_time=self._event_time(frame.media_time),
            frame=frame.index,
            track=seen.track,
            person=f"{self.source.id}.{self.session}.{seen.person}",
            box_xywh=(x, y, width, height),
            quality=quality.overall,
            sharpness=quality.sharpness,
            yaw_deg=quality.yaw_deg,
            pitch_deg=quality.pitch_deg,
            roll_deg=quality.roll_deg,
            score=quality.score,
            crop=crop,
        )

    def _interrupted(self) -> Iterator[Record]:
        """A file stays open behind a gap to its end; to stop a camera is its usual end."""
        if self.footage.began_at is not None:
            yield from self._left_out()
            yield self._progress(closed=True)
            return
        gap = self._gap(self.upto, max(self.footage.duration or 0, self.upto + 1), GapReason.INTERRUPTED)
        yield replace(gap, frames=self.frames, looked_at=self.looked_at)

    def _gap(self, begin: int, end: int, reason: GapReason) -> Gap:
        return Gap(**self._head(), begin=self._event_time(begin), end=self._event_time(end), reason=reason)

    def _progress(self, *, closed: bool) -> Progress:
        return Progress(
            **self._head(),
            event_time=self._event_time(self.upto),
            frames=self.frames,
            looked_at=self.looked_at,
            closed=closed,
        )

    def _head(self) -> dict[str, Any]:
        return {"source": self.source.id, "session": self.session, "sequence": 0}

    def _event_time(self, media_time: int) -> int:
        return (self.footage.began_at or self.settings.recorded_at or 0) + media_time

    def _sample_hz(self) -> float | None:
        every_n, fps = self.settings.every_n or 1, self.footage.fps
        if self.settings.sample_hz is not None:
            return self.settings.sample_hz
        return fps / every_n if every_n > 1 and fps else None

    def _between_samples(self) -> float:
        """µs from one frame that is looked at to the next; 0: every frame is."""
        hz = self._sample_hz()
        return 1e6 / hz if hz else 0.0
