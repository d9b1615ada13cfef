"""Limits around FFmpeg: users pass paths and addresses, never formats, protocols or options.

Measured with PyAV 18.1: without `format_whitelist` a text file named .mp4 opens the files that it lists, and without
`max_pixels` in the stream options *and* in the codec context a 0.7 MB file takes 768 MiB while it is opened.
"""

from typing import Any

MAX_PIXELS = 36_000_000
"""Of a video frame: 8K (7680x4320) fits. A frame this large takes 103 MiB as RGB."""

MAX_STILL_PIXELS = 64_000_000
"""Of a still picture."""

MAX_STILL_BYTES = 512 << 20

MAX_SIDE = 16_383
"""px of either side: what OpenCV's warp and JPEG can address."""

MAX_STREAMS = 1000

VIDEO_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng"

FILE_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": VIDEO_FORMATS,
    "max_streams": str(MAX_STREAMS),
    "correct_ts_overflow": "0",  # it takes a clock that was set back for one that wrapped; see clock.py
}

CODEC_OPTIONS = {"max_pixels": str(MAX_PIXELS)}

CAMERA_OPTIONS = {
    "protocol_whitelist": "tcp,udp,rtp",
    "format_whitelist": "rtsp",
    "rtsp_transport": "tcp",
    "max_streams": str(MAX_STREAMS),
    "fflags": "nobuffer",
    "analyzeduration": "500000",
    "probesize": "100000",
}

SECURE_CAMERA_OPTIONS = CAMERA_OPTIONS | {"protocol_whitelist": "tcp,udp,rtp,tls"}


def stream_options() -> list[Any]:
    """`CODEC_OPTIONS` for every stream that a container may have; PyAV's own annotation (list[str]) is wrong."""
    return [dict(CODEC_OPTIONS) for _ in range(MAX_STREAMS)]


def fits(width: int, height: int, pixels: int = MAX_PIXELS) -> bool:
    """Is a picture of this size one that Mien opens?"""
    return 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= pixels
