"""Fields of a session and its gaps as Redis holds them: names and texts, one after the other."""

from collections.abc import Iterable

from contract.keys import INTERRUPTION
from contract.records import Gap, Progress, SessionOpened


def opening(opened: SessionOpened) -> list[str]:
    """What a session's opening sets."""
    width, height = opened.size_wh
    fields = {
        "uri": opened.uri,
        "opened_at": str(opened.event_time),
        "dated": flag(opened.dated),
        "width": str(width),
        "height": str(height),
        "fps": None if opened.fps is None else repr(float(opened.fps)),
        "sample_hz": None if opened.sample_hz is None else repr(float(opened.sample_hz)),
        "keeps_pictures": flag(opened.keeps_pictures),
        "name": opened.name or None,
        "settings": opened.settings or None,
        "start_offset": str(opened.start_offset_us) if opened.start_offset_us else None,
    }
    return [text for field, value in fields.items() if value is not None for text in (field, value)]


def progress(progress: Progress) -> list[str]:
    """The last time, the counts and whether the session is closed."""
    return [
        *("complete_until", str(progress.event_time)),
        *("frames", str(progress.frames)),
        *("looked_at", str(progress.looked_at)),
        *("closed", flag(progress.closed)),
    ]


def interruption(gap: Gap, *, is_open: bool) -> list[str]:
    """Return its begin, the counts as fields of the session and, while the session is open, the field of its gap."""
    counts = ("complete_until", str(gap.begin), "frames", str(gap.frames), "looked_at", str(gap.looked_at))
    among_gaps = (str(INTERRUPTION), f"{gap.begin} {gap.end} {gap.reason}") if is_open else ()
    return [str(gap.begin), *counts, *among_gaps]


def gap_fields(gaps: Iterable[Gap]) -> list[str]:
    """Sequence and text of each gap, one after the other."""
    return [text for gap in gaps for text in (str(gap.sequence), _gap_text(gap))]


def _gap_text(gap: Gap) -> str:
    return f"{gap.begin} {gap.end} {gap.reason}" + (f" {gap.faces}" if gap.faces else "")


def flag(value: object) -> str:
    """1 for true, 0 for false."""
    return "1" if value else "0"
