"""An opened video container behind fences, and what it claims of its picture track."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from contract.errors import NoVideoInSource, RefusedSource, UnreadableVideo
from ingest.footage import fences, unpacking
from ingest.footage.sniff import head_of, kind_of, mpeg_size, playlist_in
from ingest.footage.survey import Survey, TrackSurvey, in_us
from ingest.footage.tracks import WANTED
from runtime.printing import printable

LONGEST_US = 30 * 24 * 3600 * 1_000_000  # a longer claim is taken for damage
SLACK_US = 10 * 1_000_000  # stamps may pass the claimed end by this much
NEARLY = 0.01  # a stated frame rate this near to the one that was seen is exact
SLOWEST = Fraction(1, 100)  # frames per second that are believed
BROADCAST = ("mpegts", "mpeg")
NO_TRACKS_YET = "stream_options"  # in PyAV's error for a format whose tracks are known only after some packets


@dataclass(frozen=True, slots=True)
class Claims:
    """What is known of a picture track before it is decoded: what its packets show, else what the container says."""

    start: int | None = None  # µs, stamp of media time 0
    offset: int = 0  # µs that a player shows at media time 0
    duration: int | None = None  # µs of the picture track
    cut: bool = False  # the file ends before its own structure does: the duration is one that it does not hold
    fps: float | None = None
    even: bool = False  # the frame rate is constant
    frames: int | None = None
    step: int = 40_000  # µs from one frame to the next
    pause: int = 1_000_000  # µs: a longer step is time without frames
    limit: int = LONGEST_US  # µs of media time behind which a stamp is damage


def opened(path: Path) -> InputContainer:
    """The container of a local file.

    Raises:
        UnreadableVideo: the file is empty or no video that can be opened.
        NoVideoInSource: it is a header and nothing else.
        RefusedSource: the file is a playlist or a script that names other files.
    """
    name = printable(path.name)
    head = head_of(path)
    if not head:
        raise UnreadableVideo(f"{name} is empty (0 bytes); {WANTED}")
    playlist = playlist_in(head)
    if playlist:
        raise RefusedSource(f"{name} is {playlist}, which names other files to open; {WANTED}")
    size_wh = mpeg_size(head)
    if size_wh is not None:
        _check_size(size_wh, name)
    try:
        try:
            return _open(path, fences.stream_options())
        except ValueError as error:
            if NO_TRACKS_YET not in str(error):
                raise
            _check_opening(path)
            container = _open(path, None)  # the decoder gets the limits later
            if not len(container.streams):
                raise
            return container
    except RefusedSource:
        raise
    except Exception as error:  # fuzzed headers raise IndexError, ValueError, UnicodeDecodeError as well
        raise _translated(error, name, kind_of(head)) from error


def _check_opening(path: Path) -> None:
    try:
        unpacking.opens(path)
    except unpacking.Exceeded as error:
        raise RefusedSource(
            f"{printable(path.name)} takes more memory or time to open than {unpacking.OPENING_BYTES >> 20} MiB and "
            f"{unpacking.TIME_S:g} s; {WANTED}"
        ) from error
    except unpacking.Failed:
        return  # the error comes again where it is named


def _open(path: Path, stream_options: list[Any] | None) -> InputContainer:
    # «file:» and an absolute path: a name like «concat:a|b» stays a name.
    return av.open(
        f"file:{path.absolute()}",
        metadata_errors="ignore",
        options=dict(fences.FILE_OPTIONS),
        stream_options=stream_options,
    )


def _check_size(size_wh: tuple[int, int], name: str) -> None:
    """Raise where the picture is too large; called before FFmpeg decodes frames to find out what they are.

    Raises:
        RefusedSource: it is.
    """
    if not fences.fits(*size_wh):
        raise RefusedSource(
            f"{name} is an MPEG program stream with a picture of {size_wh[0]}x{size_wh[1]} px; "
            f"wanted at most {fences.MAX_PIXELS // 1_000_000} megapixels"
        )


def _translated(error: Exception, name: str, kind: str) -> UnreadableVideo | NoVideoInSource:
    if isinstance(error, av.error.EOFError):
        return NoVideoInSource(f"{name} is {kind} that ends before its first frame; {WANTED}")
    if NO_TRACKS_YET in str(error):
        return NoVideoInSource(f"{name} is {kind} without a track, so without a frame; {WANTED}")
    if kind == "an MP4":
        return UnreadableVideo(f"{name} is an MP4 without a usable index (moov): it was cut off or damaged; {WANTED}")
    if kind in ("a Matroska file", "an AVI"):
        return UnreadableVideo(f"{name} is {kind} whose header is damaged; {WANTED}")
    return UnreadableVideo(f"{name} holds {kind}; {WANTED}")


def claims_of(container: InputContainer, stream: VideoStream, found: Survey, *, cut: bool) -> Claims:
    """What is known of this track; where the packets contradict the container, the packets are believed.

    Args:
        container: opened; nothing of it is read.
        stream: the picture track.
        found: the packets of the same file.
        cut: the file ends before its own structure does.
    """
    track = found.tracks.get(stream.index, TrackSurvey())
    fps = _fps(stream, track)
    start = track.first if track.first is not None else _start(stream)
    seen = track.span
    claimed = _claimed_us(container, stream, start or 0)
    duration = seen if found.whole and not cut else _longer(claimed, seen)
    frames = track.frames if found.whole and not cut else stream.frames or None
    if frames is None and duration and fps:
        frames = round(duration / 1e6 * fps)
    trusted = duration is not None and seen is not None and (not found.whole or seen <= duration + SLACK_US)
    return Claims(
        start=start,
        offset=_offset(container, start),
        duration=_believed(duration) if duration is not None else None,
        cut=cut,
        fps=fps,
        even=track.even,
        frames=frames,
        step=(round(1e6 / fps) if track.even and fps else track.step) or 40_000,
        pause=track.pause,
        limit=duration + SLACK_US if trusted and duration and found.whole else LONGEST_US,
    )


def _fps(stream: VideoStream, track: TrackSurvey) -> float | None:
    """The rate of the packets, as exactly as the container states it where both agree."""
    stated = [float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate and SLOWEST <= rate <= 1000]
    if track.fps is None:
        return stated[0] if stated else None
    return next((rate for rate in stated if abs(rate / track.fps - 1) < NEARLY), track.fps)


def _start(stream: VideoStream) -> int | None:
    return None if stream.start_time is None else in_us(stream.start_time, stream.time_base)


def _offset(container: InputContainer, start: int | None) -> int:
    """µs on a player's clock at media time 0; players begin a broadcast with its earliest stamp, other files at 0."""
    zero = container.start_time or 0 if container.format.name in BROADCAST else 0
    return (start or 0) - zero


def _longer(claimed: int | None, seen: int | None) -> int | None:
    known = [each for each in (claimed, seen) if each is not None]
    return max(known) if known else None


def _claimed_us(container: InputContainer, stream: VideoStream, start: int) -> int | None:
    """µs that the container says its picture track lasts."""
    if container.format.name in BROADCAST:
        return None  # they state none, and FFmpeg's guess is half of it or a day
    if container.format.name == "avi":
        return _avi_us(container, stream)
    if stream.duration is not None:
        return in_us(stream.duration, stream.time_base)
    written = _clock_us(stream.metadata.get("DURATION", ""))  # Matroska; an end stamp, not a length
    if written is not None:
        return written - start
    if container.duration is not None:
        return int(container.duration) - max(0, start - (container.start_time or 0))
    return None


def _avi_us(container: InputContainer, stream: VideoStream) -> int | None:
    """µs that an AVI's main header states, in steps of the picture track: FFmpeg shortens it to what a truncated file
    can hold, and the step in the main header is often another program's guess."""
    head = head_of(Path(container.name.removeprefix("file:")))
    at = head.find(b"avih")
    if at < 0 or len(head) < at + 28 or not stream.guessed_rate:
        return None if stream.duration is None else in_us(stream.duration, stream.time_base)
    (frames,) = struct.unpack_from("<I", head, at + 24)
    return int(1_000_000 * frames / stream.guessed_rate)


def _believed(duration: int) -> int | None:
    return duration if 0 < duration <= LONGEST_US else None


def _clock_us(text: str) -> int | None:
    """µs of «00:00:02.400000000»."""
    try:
        hours, minutes, seconds = text.split(":")
        return round((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) * 1_000_000)
    except ValueError:
        return None
