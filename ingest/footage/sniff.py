"""What a file is by its first bytes, in words for an error message."""

from pathlib import Path

HEAD_BYTES = 4096

_PLAYLISTS = {
    b"#extm3u": "an HLS playlist",
    b"ffconcat": "an ffconcat script",
    b"<mpd": "a DASH playlist",
    b"v=0": "a session description (SDP)",
    b"[playlist]": "a playlist",
    b"<asx": "a playlist",
    b"<smil": "a playlist",
}
_OTHERS = (
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (8, b"WEBP", "a WebP picture"),
    (8, b"WAVE", "a WAV sound file"),
    (0, b"ID3", "an MP3 sound file"),
    (0, b"fLaC", "a FLAC sound file"),
    (0, b"OggS", "an Ogg file"),
    (0, b"FLV", "a Flash video"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"%PDF", "a PDF document"),
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypmsf1", "a HEIF picture"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a Windows Media file"),
    (4, b"ftyp", "an MP4"),
    (4, b"moov", "an MP4"),
    (4, b"mdat", "an MP4"),
    (0, b"\x1aE\xdf\xa3", "a Matroska file"),
    (8, b"AVI ", "an AVI"),
    (0, b"\0\0\1\xba", "an MPEG program stream"),
)


def head_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def playlist_in(head: bytes) -> str | None:
    """Which kind of playlist or script this is; None if it is none. Such a file names other files to open."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<?xml"):
        text = text[text.find(b"?>") + 2 :].lstrip()
    return next((kind for start, kind in _PLAYLISTS.items() if text.startswith(start)), None)


def is_program_stream(head: bytes) -> bool:
    """Whether this is an MPEG program stream (.mpg), whose tracks are known only after some packets."""
    return head.startswith(b"\0\0\1\xba")


def mpeg_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in px that an MPEG-1 or MPEG-2 picture track states first; None: not within these bytes.

    ISO/IEC 13818-2 §6.2.2: a sequence header holds twelve bits of each, an extension of its own two more.
    """
    at = head.find(b"\0\0\1\xb3")
    if not 0 <= at <= len(head) - 8:
        return None
    width, height = head[at + 4] << 4 | head[at + 5] >> 4, (head[at + 5] & 15) << 8 | head[at + 6]
    more = head.find(b"\0\0\1\xb5", at)
    if 0 <= more <= len(head) - 8 and head[more + 4] >> 4 == 1:
        width |= ((head[more + 5] & 1) << 1 | head[more + 6] >> 7) << 12
        height |= (head[more + 6] >> 5 & 3) << 12
    return width, height


def kind_of(head: bytes) -> str:
    """What these bytes look like, with an article: «a web page (HTML)», «a PNG picture», «no known format»."""
    for offset, mark, kind in _OTHERS:
        if head[offset : offset + len(mark)] == mark:
            return kind
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return "a web page (HTML)"
    return "text" if head and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head) else "no known format"
