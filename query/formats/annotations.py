"""Episodes as the files of tools that coders use: ELAN, Praat, BORIS, subtitles. One recording per file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

BORIS_HEAD = (
    *("Observation id", "Observation date", "Media file", "Total length", "FPS", "Subject", "Behavior"),
    *("Behavioral category", "Comment start", "Comment stop", "Start (s)", "Stop (s)", "Duration (s)", "Behavior type"),
)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A labelled stretch; seconds since the first frame. `tier` is whose and of what: «person · channel»."""

    tier: str
    begin: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Recording:
    """What the annotations are of."""

    media: str
    length_s: float
    fps: float | None


def eaf(recording: Recording, annotations: Sequence[Annotation]) -> str:
    """Return an ELAN document (EAF 3.0): a tier per person and channel, times in ms."""
    stamps = sorted({stamp for each in annotations for stamp in _stamps(each)})
    slots = {stamp: f"ts{place}" for place, stamp in enumerate(stamps, 1)}
    media = quoteattr(recording.media)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ANNOTATION_DOCUMENT AUTHOR="Mien" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">',
        '  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
        f'    <MEDIA_DESCRIPTOR MEDIA_URL={media} MIME_TYPE="video/mp4"/>',
        "  </HEADER>",
        "  <TIME_ORDER>",
        *(f'    <TIME_SLOT TIME_SLOT_ID="{slots[stamp]}" TIME_VALUE="{stamp}"/>' for stamp in stamps),
        "  </TIME_ORDER>",
    ]
    number = 0
    for tier, mine in _by_tier(annotations).items():
        lines.append(f'  <TIER LINGUISTIC_TYPE_REF="episode" TIER_ID={quoteattr(tier)}>')
        for each in mine:
            number += 1
            begin, end = (slots[stamp] for stamp in _stamps(each))
            place = f'TIME_SLOT_REF1="{begin}" TIME_SLOT_REF2="{end}"'
            lines += [
                "    <ANNOTATION>",
                f'      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" {place}>',
                f"        <ANNOTATION_VALUE>{escape(each.label)}</ANNOTATION_VALUE>",
                "      </ALIGNABLE_ANNOTATION>",
                "    </ANNOTATION>",
            ]
        lines.append("  </TIER>")
    lines.append('  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="episode" TIME_ALIGNABLE="true"/>')
    return "\n".join([*lines, "</ANNOTATION_DOCUMENT>", ""])


def webvtt(recording: Recording, annotations: Sequence[Annotation]) -> str:
    """Return WebVTT subtitles, by time."""
    cues = (f"{_clock(e.begin, '.')} --> {_clock(e.end, '.')}\n{_line(e)}\n" for e in _by_time(annotations))
    return "\n".join(["WEBVTT\n", *cues])


def srt(recording: Recording, annotations: Sequence[Annotation]) -> str:
    """Return SubRip subtitles, by time."""
    cues = enumerate(_by_time(annotations), 1)
    return "\n".join(f"{n}\n{_clock(e.begin, ',')} --> {_clock(e.end, ',')}\n{_line(e)}\n" for n, e in cues)


def textgrid(recording: Recording, annotations: Sequence[Annotation]) -> str:
    """Return a Praat TextGrid: an interval tier per person and channel, without holes, as Praat wants it."""
    tiers = _by_tier(annotations)
    end = max([recording.length_s, *(each.end for each in annotations)])
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    lines = [*head, "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (tier, mine) in enumerate(tiers.items(), 1):
        spans, at = list[tuple[float, float, str]](), 0.0
        for each in sorted(mine, key=lambda each: each.begin):
            if each.begin > at + 1e-9:
                spans.append((at, each.begin, ""))
            spans.append((max(at, each.begin), each.end, each.label))
            at = each.end
        if at < end - 1e-9 or not spans:
            spans.append((at, end, ""))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_praat(tier)}"]
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(spans)}"]
        for place, (low, high, label) in enumerate(spans, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {low:.6f}"]
            lines += [f"            xmax = {high:.6f}", f"            text = {_praat(label)}"]
    return "\n".join([*lines, ""])


def boris(recording: Recording, annotations: Sequence[Annotation]) -> str:
    """Return the tab-separated table of aggregated events that BORIS exports: a row per state event."""
    rows = ["\t".join(BORIS_HEAD)]
    fps = "" if recording.fps is None else f"{recording.fps:g}"
    for each in _by_time(annotations):
        subject, _, behaviour = each.tier.partition(" · ")
        media = recording.media.replace("\t", " ")
        fields = [media, "", media, f"{recording.length_s:.3f}", fps, subject, behaviour, "", each.label, ""]
        times = [f"{each.begin:.3f}", f"{each.end:.3f}", f"{each.end - each.begin:.3f}", "STATE"]
        rows.append("\t".join([*fields, *times]))
    return "\n".join([*rows, ""])


ANNOTATIONS: dict[str, Callable[[Recording, Sequence[Annotation]], str]] = {
    "eaf": eaf,
    "vtt": webvtt,
    "srt": srt,
    "TextGrid": textgrid,
    "boris.tsv": boris,
}
"""By the ending of the file."""


def _by_tier(annotations: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    tiers: dict[str, list[Annotation]] = {}
    for each in annotations:
        tiers.setdefault(each.tier, []).append(each)
    return tiers


def _by_time(annotations: Sequence[Annotation]) -> list[Annotation]:
    return sorted(annotations, key=lambda each: (each.begin, each.end, each.tier))


def _stamps(each: Annotation) -> tuple[int, int]:
    """Return begin and end in ms; ELAN takes no annotation of no length."""
    begin = round(each.begin * 1e3)
    return begin, max(begin + 1, round(each.end * 1e3))


def _line(each: Annotation) -> str:
    text = f"{each.tier}: {each.label}".replace("-->", "→").replace("\n", " ")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _clock(seconds: float, point: str) -> str:
    ms = max(0, round(seconds * 1e3))
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1_000 % 60:02}{point}{ms % 1_000:03}"


def _praat(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
