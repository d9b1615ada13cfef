"""An opened video container behind fences, and what it claims of its picture track."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from contract.errors import NoVideoInSource, RefusedSource, UnreadableVideo
from ingest.footage import fences
from ingest.footage.sniff import head_of, is_program_stream, kind_of, mpeg_size, playlist_in

LONGEST_US = 30 * 24 * 3600 * 1_000_000  # a longer claim is taken for damage
SLACK_US = 10 * 1_000_000  # stamps may pass the claimed end by this much

WANTED = "wanted an MP4, MOV, MKV, WebM, AVI or MPEG video"


@dataclass(frozen=True, slots=True)
class Claims:
    """What the container says of its picture track; any of it may be wrong."""

    start: int | None  # µs, stamp of the first frame
    duration: int | None  # µs
    for_track: bool  # the duration is the picture track's own, not the longest track's
    fps: float | None
    frames: int | None

    @property
    def step(self) -> int:
        """µs from one frame to the next, on average; 40 ms if nothing is known."""
        return round(1e6 / self.fps) if self.fps else 40_000

    @property
    def limit(self) -> int:
        """µs of media time behind which a stamp is damage."""
        return LONGEST_US if self.duration is None else self.duration + SLACK_US


def opened(path: Path) -> InputContainer:
    """The container of a local file.

    Raises:
        UnreadableVideo: the file is empty or no video that can be opened.
        NoVideoInSource: it is a header and nothing else.
        RefusedSource: the file is a playlist or a script that names other files.
    """
    head = head_of(path)
    if not head:
        raise UnreadableVideo(f"{path.name} is empty (0 bytes); {WANTED}")
    playlist = playlist_in(head)
    if playlist:
        raise RefusedSource(f"{path.name} is {playlist}, which names other files to open; {WANTED}")
    at_once: list[Any] | None = fences.stream_options()
    if is_program_stream(head):
        _check_size(mpeg_size(head), path.name)
        at_once = None  # FFmpeg knows no track yet to which they could go; the decoder gets them later
    try:
        # «file:» and an absolute path: a name like «concat:a|b» stays a name.
        return av.open(
            f"file:{path.absolute()}",
            metadata_errors="ignore",
            options=dict(fences.FILE_OPTIONS),
            stream_options=at_once,
        )
    except Exception as error:  # fuzzed headers raise IndexError, ValueError, UnicodeDecodeError as well
        raise _translated(error, path.name, kind_of(head)) from error


def _check_size(size_wh: tuple[int, int] | None, name: str) -> None:
    """Nothing, if the picture fits; asked before FFmpeg decodes frames to find out what they are."""
    if size_wh is None or not fences.fits(*size_wh):
        seen = "x".join(map(str, size_wh)) + " px" if size_wh else "unknown size"
        raise RefusedSource(
            f"{name} is an MPEG program stream with a picture of {seen}; "
            f"wanted at most {fences.MAX_PIXELS // 1_000_000} megapixels"
        )


def _translated(error: Exception, name: str, kind: str) -> UnreadableVideo | NoVideoInSource:
    if isinstance(error, av.error.EOFError):
        return NoVideoInSource(f"{name} is {kind} that ends before its first frame; {WANTED}")
    if "stream_options" in str(error):  # PyAV's words for a container that names no track
        return NoVideoInSource(f"{name} is {kind} without a track, so without a frame; {WANTED}")
    if kind == "an MP4":
        return UnreadableVideo(f"{name} is an MP4 without a usable index (moov): it was cut off or damaged; {WANTED}")
    if kind in ("a Matroska file", "an AVI"):
        return UnreadableVideo(f"{name} is {kind} whose header is damaged; {WANTED}")
    return UnreadableVideo(f"{name} holds {kind}; {WANTED}")


def picture_track(container: InputContainer, name: str) -> VideoStream:
    """The track to look at: the largest that moves; cover art and thumbnails are no video.

    Raises:
        NoVideoInSource: there is none.
        UnreadableVideo: its codec is not known here.
        RefusedSource: its picture is too large.
    """
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    tracks = [track for track in container.streams.video if not track.disposition & still]
    if not tracks:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no track at all"
        raise NoVideoInSource(f"{name} has no video track, only {kinds}; {WANTED}")
    known = [track for track in tracks if track.codec_context is not None]
    if not known:
        raise UnreadableVideo(f"{name}: the codec of its video track is not known here; wanted H.264, HEVC, VP9, AV1 …")
    track = max(known, key=lambda track: (track.codec_context.width or 0) * (track.codec_context.height or 0))
    width, height = track.codec_context.width or 0, track.codec_context.height or 0
    if width and height and not fences.fits(width, height):
        raise RefusedSource(
            f"{name} has a picture of {width}x{height} px; wanted at most {fences.MAX_PIXELS // 1_000_000} megapixels"
        )
    return track


def claims_of(container: InputContainer, track: VideoStream) -> Claims:
    """What the container says of this track."""
    rate = track.average_rate or track.guessed_rate
    fps = float(rate) if rate and Fraction(1, 100) <= rate <= 1000 else None
    start = None if track.start_time is None else in_us(track.start_time, track.time_base)
    duration, for_track = _duration(container, track, start)
    frames = track.frames or (round(duration / 1e6 * fps) if duration and fps else None)
    return Claims(start, duration, for_track, fps, frames)


def _duration(container: InputContainer, track: VideoStream, start: int | None) -> tuple[int | None, bool]:
    if container.format.name == "mpeg":
        return None, False  # a program stream states none, and FFmpeg's guess was half of it
    if track.duration is not None:
        stated = _avi_us(container) if container.format.name == "avi" else 0
        return _believed(max(stated, in_us(track.duration, track.time_base))), True
    written = _clock_us(track.metadata.get("DURATION", ""))  # Matroska; an end stamp, not a length
    if written is not None:
        return _believed(written - (start or 0)), True
    if container.duration is not None:
        lead = (start or 0) - (container.start_time or 0)
        return _believed(container.duration - max(0, lead)), False
    return None, False


def _avi_us(container: InputContainer) -> int:
    """µs that an AVI's main header states: FFmpeg shortens it to what a truncated file can hold."""
    head = head_of(Path(container.name.removeprefix("file:")))
    at = head.find(b"avih")
    if not 0 <= at <= len(head) - 28:
        return 0
    (frame_us,) = struct.unpack_from("<I", head, at + 8)
    (frames,) = struct.unpack_from("<I", head, at + 24)
    return int(frame_us * frames)


def _believed(duration: int) -> int | None:
    return duration if 0 < duration <= LONGEST_US else None


def _clock_us(text: str) -> int | None:
    """µs of «00:00:02.400000000»."""
    try:
        hours, minutes, seconds = text.split(":")
        return round((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) * 1_000_000)
    except ValueError:
        return None


def in_us(ticks: int, time_base: Fraction | None) -> int:
    """Ticks of a time base as whole µs, halves rounded up."""
    base = time_base or Fraction(1, 1_000_000)
    return (2 * ticks * base.numerator * 1_000_000 + base.denominator) // (2 * base.denominator)
