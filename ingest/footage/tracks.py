"""Which picture track of a container is looked at, and what is said of the others."""

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from contract.errors import NoVideoInSource, RefusedSource, UnreadableVideo
from ingest.footage import fences
from ingest.footage.survey import Survey, TrackSurvey

STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
PICTURE_CODECS = ("mjpeg", "png", "bmp", "gif", "webp", "tiff", "ljpeg", "jpeg2000", "libopenjpeg")
COMPARABLE = 0.5  # a track with at least this share of the longest one's time and frames may be the film

WANTED = "wanted an MP4, MOV, MKV, WebM, AVI, FLV, WMV or MPEG video"


def picture_track(
    container: InputContainer, name: str, survey: Survey | None = None, number: int | None = None
) -> VideoStream:
    """The track to look at.

    Covers, posters and thumbnails are no film; of the others a track must have about as many frames and last about as
    long as the longest; of these the one that the file marks as default is taken, then the largest, then the first.

    Args:
        container: an opened file or camera.
        name: of the file, for messages.
        survey: the packets of the file; without, only marks and sizes count.
        number: the track that a user chose, counted from 1 over the picture tracks.

    Raises:
        NoVideoInSource: there is none, or none of this number.
        UnreadableVideo: its codec is not known here.
        RefusedSource: its picture is too large.
    """
    every = list(container.streams.video)
    if number is not None:
        if not 1 <= number <= len(every):
            listed = "; ".join(described(container, track, survey) for track in every) or "none"
            raise NoVideoInSource(f"{name} has no picture track {number}; wanted one of: {listed}")
        track = every[number - 1]
    else:
        track = _film(container, name, every, survey)
    if track.codec_context is None:
        raise UnreadableVideo(f"{name}: the codec of its video track is not known here; wanted H.264, HEVC, VP9, AV1 …")
    width, height = track.codec_context.width or 0, track.codec_context.height or 0
    if width and height and not fences.fits(width, height):
        raise RefusedSource(
            f"{name} has a picture of {width}x{height} px; wanted at most {fences.MAX_PIXELS // 1_000_000} megapixels"
        )
    return track


def _film(container: InputContainer, name: str, every: list[VideoStream], survey: Survey | None) -> VideoStream:
    moving = [track for track in every if not track.disposition & STILL and not _is_cover(track, survey)]
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams if stream not in every}))
        seen = f"only {kinds}" if kinds else "no track at all"
        covers = " and a cover picture" if every else ""
        raise NoVideoInSource(f"{name} has no video track, {seen}{covers}; {WANTED}")
    known = [track for track in moving if track.codec_context is not None] or moving
    if survey is not None and len(known) > 1:
        known = _longest(known, survey)
    marked = [track for track in known if track.disposition & Disposition.default] or known
    return max(marked, key=lambda track: _area(track))


def _is_cover(track: VideoStream, survey: Survey | None) -> bool:
    """Whether this is one picture beside a song, though the file does not mark it as such."""
    if survey is None or track.codec_context is None or track.index not in survey.tracks:
        return False
    return survey.sounds and survey.tracks[track.index].frames == 1 and track.codec_context.name in PICTURE_CODECS


def _longest(tracks: list[VideoStream], survey: Survey) -> list[VideoStream]:
    found = {track.index: survey.tracks.get(track.index, TrackSurvey()) for track in tracks}
    most = max(each.frames for each in found.values())
    kept = [track for track in tracks if found[track.index].frames >= COMPARABLE * most]
    longest = max(_span(found[track.index]) for track in kept)
    return [track for track in kept if _span(found[track.index]) >= COMPARABLE * longest]


def _span(track: TrackSurvey) -> int:
    return track.span or 0


def _area(track: VideoStream) -> int:
    context = track.codec_context
    return 0 if context is None else (context.width or 0) * (context.height or 0)


def described(container: InputContainer, track: VideoStream, survey: Survey | None) -> str:
    """A track in words: «track 2 (mjpeg 1280x720, 1 picture)»."""
    number = list(container.streams.video).index(track) + 1
    context = track.codec_context
    if context is None:  # PyAV's annotation leaves this out
        return f"track {number} (unknown codec)"  # type: ignore[unreachable]
    parts = [f"{context.name.removeprefix('lib')} {context.width}x{context.height}"]
    found = survey.tracks.get(track.index) if survey is not None else None
    if track.disposition & Disposition.attached_pic:
        parts.append("cover")
    elif found is not None and found.frames == 1:
        parts.append("1 picture")
    elif found is not None and found.fps:
        parts.append(f"{found.fps:.4g}/s")
    return f"track {number} ({', '.join(parts)})"


def left_out(container: InputContainer, chosen: VideoStream, survey: Survey | None) -> tuple[str, ...]:
    """A line that names the picture tracks which are not looked at; none where there is but one that could be."""
    others = [track for track in container.streams.video if track is not chosen and not track.disposition & STILL]
    lines = []
    if others:
        lines.append(
            f"looks at {described(container, chosen, survey)}, not at "
            f"{' or '.join(described(container, track, survey) for track in others)}; --track chooses another"
        )
    if len(container.streams) >= fences.MAX_STREAMS:
        lines.append(f"only its first {fences.MAX_STREAMS} tracks are known")
    return tuple(lines)
