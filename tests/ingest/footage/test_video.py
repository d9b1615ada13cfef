import resource
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
from av.stream import Disposition

from contract.errors import NoVideoInSource, RefusedSource, UnreadableVideo
from contract.labels import GapReason
from ingest.footage import Frame, Hole
from ingest.footage.upright import Upright
from ingest.footage.video import VideoFile
from tests.ingest.clips import (
    FPS,
    STEP,
    all_of,
    cut_off,
    overwrite_packets,
    png_of_zeros,
    shown_index,
    write_bomb,
    write_clip,
    write_sound,
    write_tone,
)

FASTSTART = {"movflags": "faststart"}


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),  # B-frames: decoded out of order, put out in order
        ("a.mov", "mpeg4"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.ts", "libx264"),  # the clock starts at 1.4 s
        ("a.avi", "mpeg4"),  # no stamps but positions
        ("a.3gp", "mpeg4"),
        ("a.mpg", "mpeg2video"),  # its tracks are known only after some packets
    ],
)
def test_every_frame_comes_once_at_its_exact_time(tmp_path: Path, name: str, codec: str) -> None:
    clip = write_clip(tmp_path / name, 30, codec=codec)

    footage = VideoFile(clip)
    frames, holes, end = all_of(footage)

    assert [frame.media_time for frame in frames] == [STEP * i for i in range(30)]
    assert [frame.index for frame in frames] == list(range(30))
    assert [shown_index(frame, 5) for frame in frames[:5]] == [0, 1, 2, 3, 4]
    assert (holes, end.frames, end.media_time) == ([], 30, 30 * STEP)
    assert (footage.size_wh, footage.fps) == ((64, 48), FPS)
    assert footage.duration == 30 * STEP


def test_a_program_stream_of_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mpg", 5, codec="mpeg2video")
    body = bytearray(clip.read_bytes())
    at = body.find(b"\0\0\1\xb3")
    body[at + 4 : at + 7] = b"\xff\xff\xff"  # 4095 x 4095, and the extension's two bits more of each
    extension = body.find(b"\0\0\1\xb5", at)
    body[extension + 5] |= 0x01
    body[extension + 6] |= 0xE0
    clip.write_bytes(body)

    with pytest.raises(RefusedSource, match="16383x16383 px; wanted at most 36 megapixels"):
        VideoFile(clip)


@pytest.mark.parametrize("name", ["vfr.mkv", "vfr.mp4"])
def test_a_variable_frame_rate_is_kept_without_inventing_holes(tmp_path: Path, name: str) -> None:
    times_ms = [0, 33, 34, 250, 251, 900, 4000, 4040]

    frames, holes, _ = all_of(VideoFile(write_clip(tmp_path / name, times_ms=times_ms)))

    assert [frame.media_time for frame in frames] == [1000 * time for time in times_ms]
    assert holes == []


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_rotated_video_is_turned_upright(tmp_path: Path, rotation: int) -> None:
    footage = VideoFile(write_clip(tmp_path / "a.mp4", 2, (64, 32), rotation=rotation))
    frames, _, _ = all_of(footage)
    rgb = frames[0].rgb

    quarter = {0: (0, 0), 90: (1, 0), 180: (1, 1), 270: (0, 1)}[rotation]  # (row, column) where upper left goes
    halves = [np.array_split(half, 2, axis=1) for half in np.array_split(rgb, 2, axis=0)]
    red = max(
        ((row, column) for row in (0, 1) for column in (0, 1)), key=lambda at: halves[at[0]][at[1]][..., 0].mean()
    )
    assert footage.size_wh == ((64, 32) if rotation in (0, 180) else (32, 64))
    assert rgb.shape == (footage.size_wh[1], footage.size_wh[0], 3)
    assert rgb.flags.c_contiguous
    assert red == quarter


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 3), (33, 17), (255, 1)])
def test_odd_sizes_are_kept(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    clip = write_clip(tmp_path / "a.mkv", 3, size_wh, codec="ffv1", pix_fmt="yuv444p")

    frames, _, _ = all_of(VideoFile(clip))

    assert {frame.rgb.shape for frame in frames} == {(size_wh[1], size_wh[0], 3)}
    assert len(frames) == 3


def test_the_last_frames_come_when_the_picture_is_the_second_track(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 30, codec="libx264", sound_s=1.2)  # B-frames wait in the decoder

    frames, holes, _ = all_of(VideoFile(clip))

    assert (len(frames), holes) == (30, [])


def test_sound_that_outlasts_the_picture_is_no_truncation(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4", "a.avi"):
        frames, holes, _ = all_of(VideoFile(write_clip(tmp_path / name, 25, sound_s=3.0)))
        assert (name, len(frames), holes) == (name, 25, [])


def test_a_frame_that_is_not_looked_at_is_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    footage = VideoFile(write_clip(tmp_path / "a.mp4", 30))

    converted: list[int] = []
    monkeypatch.setattr(Upright, "__call__", lambda self, frame: converted.append(1))

    items = list(footage.items(Event()))

    assert [item.index for item in items if isinstance(item, Frame)] == list(range(30))
    assert items[-1].frames == 30
    assert converted == []
    footage.close()


@pytest.mark.parametrize(("name", "options"), [("a.mkv", {}), ("a.mp4", FASTSTART), ("a.avi", {})])
def test_a_truncated_file_gives_what_it_holds_and_a_gap_to_its_claimed_end(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    clip = cut_off(write_clip(tmp_path / name, 100, options=options, codec_options={"g": "10"}), 0.6)

    frames, holes, end = all_of(VideoFile(clip))

    assert 20 < len(frames) < 90
    assert [frame.media_time for frame in frames] == [STEP * i for i in range(len(frames))]
    assert holes == [Hole(len(frames) * STEP, 100 * STEP, GapReason.TRUNCATED)]
    assert end.media_time == len(frames) * STEP


def test_damaged_packets_leave_a_hole_exactly_where_frames_are_missing(tmp_path: Path) -> None:
    keyframes_only = {"g": "1", "bf": "0"}
    clip = write_clip(tmp_path / "a.mp4", 50, codec="libx264", codec_options=keyframes_only)
    overwrite_packets(clip, range(20, 30))

    frames, holes, _ = all_of(VideoFile(clip))

    assert [frame.media_time // STEP for frame in frames] == [*range(20), *range(30, 50)]
    assert holes == [Hole(20 * STEP, 30 * STEP, GapReason.DECODE_ERROR)]


def test_damage_up_to_the_end_is_told_from_truncation(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 50, codec="libx264", codec_options={"g": "1", "bf": "0"})
    overwrite_packets(clip, range(30, 50))

    frames, holes, _ = all_of(VideoFile(clip))

    assert len(frames) == 30
    assert holes == [Hole(30 * STEP, 50 * STEP, GapReason.DECODE_ERROR)]


def test_frames_keep_their_size_when_the_resolution_changes(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "1.ts", 25, (64, 48), codec="libx264", codec_options={"bf": "0"})
    second = write_clip(tmp_path / "2.ts", 25, (96, 48), codec="libx264", codec_options={"bf": "0"}, start_ms=1000)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())

    frames, holes, _ = all_of(VideoFile(both))

    assert len(frames) == 50
    assert {frame.rgb.shape for frame in frames} == {(48, 96, 3)}  # the larger one: known before the first is looked at
    assert [frame.media_time for frame in frames] == [STEP * i for i in range(50)]
    assert all(hole.reason is GapReason.RESOLUTION_CHANGE for hole in holes)
    assert frames[0].rgb[:, 0].max() == 0  # the narrower picture keeps its proportions: black on both sides


def test_frames_lost_at_a_change_of_resolution_are_a_gap(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "1.ts", 25, (64, 48), codec="libx264", codec_options={"bf": "0"})
    second = write_clip(tmp_path / "2.ts", 25, (96, 48), codec="libx264", codec_options={"bf": "0"}, start_ms=1400)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())

    _, holes, _ = all_of(VideoFile(both))

    assert holes == [Hole(25 * STEP, 35 * STEP, GapReason.RESOLUTION_CHANGE)]


def test_a_recorder_that_restarts_its_clock_goes_on_in_time(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "1.ts", 25, codec="libx264")
    both = tmp_path / "both.ts"
    both.write_bytes(2 * clip.read_bytes())

    frames, _, _ = all_of(VideoFile(both))

    times = [frame.media_time for frame in frames]
    assert len(times) == 50
    assert all(0 < later - earlier <= 2 * STEP for earlier, later in pairwise(times))


HTML = b"<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>" * 20
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
SCRIPT = b"ffconcat version 1.0\nfile other.mp4\n"
MPD = b"<?xml version='1.0'?>\n<MPD><Period/></MPD>"
GARBAGE = np.random.default_rng(7).bytes(100_000)


@pytest.mark.parametrize(
    ("content", "error", "seen"),
    [
        (b"", UnreadableVideo, "empty"),
        (b"\0", UnreadableVideo, "no known format"),
        (GARBAGE, UnreadableVideo, "no known format"),
        (HTML, UnreadableVideo, "web page"),
        (b"%PDF-1.7\n" * 100, UnreadableVideo, "PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), UnreadableVideo, "PNG picture"),
        (PLAYLIST, RefusedSource, "HLS playlist"),
        (b"\xef\xbb\xbf" + PLAYLIST, RefusedSource, "HLS playlist"),
        (SCRIPT, RefusedSource, "ffconcat script"),
        (MPD, RefusedSource, "DASH playlist"),
        (b"v=0\r\no=- 0 0 IN IP4 10.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n", RefusedSource, "SDP"),
    ],
)
def test_what_is_no_video_is_named_in_one_line(
    tmp_path: Path, content: bytes, error: type[Exception], seen: str
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)

    with pytest.raises(error) as caught:
        VideoFile(path)

    message = str(caught.value)
    assert message.startswith("film.mp4 ")
    assert seen in message
    assert "wanted an MP4" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [SCRIPT, PLAYLIST.replace(b"/etc/passwd", b"other.mp4")])
def test_ffmpeg_is_fenced_even_where_a_script_is_not_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    write_clip(tmp_path / "other.mp4", 5)
    disguised = tmp_path / "innocent.mp4"
    disguised.write_bytes(content)
    monkeypatch.setattr("ingest.footage.container.playlist_in", lambda head: None)

    with pytest.raises(UnreadableVideo):
        VideoFile(disguised)


def test_a_missing_index_is_told_from_other_damage(tmp_path: Path) -> None:
    clip = cut_off(write_clip(tmp_path / "a.mp4", 100), 0.6)  # the index lies at the end

    with pytest.raises(UnreadableVideo, match=r"a\.mp4 is an MP4 without a usable index \(moov\)"):
        VideoFile(clip)


def test_a_file_of_sound_holds_no_video(tmp_path: Path) -> None:
    with pytest.raises(NoVideoInSource, match=r"a\.mp4 has no video track, only audio; wanted"):
        VideoFile(write_sound(tmp_path / "a.mp4"))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi"])
def test_a_track_without_frames_holds_no_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()

    with pytest.raises(NoVideoInSource, match=rf"{name} .*frame; wanted"):
        VideoFile(path)


def test_a_track_that_cannot_be_decoded_says_so(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 20, codec="libx264", codec_options={"g": "1", "bf": "0"})
    overwrite_packets(clip, range(20))

    with pytest.raises(UnreadableVideo, match=r"a\.mp4: none of the 20 pictures in it can be decoded"):
        VideoFile(clip)


def test_cover_art_is_not_taken_for_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44_100)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 100, 100, "gray", Disposition.attached_pic
        packet = av.Packet(png_of_zeros(100, 100))
        packet.stream, packet.pts, packet.dts = cover, 0, 0
        container.mux(packet)
        write_tone(container, sound, 0.5)

    with pytest.raises(NoVideoInSource, match="no video track"):
        VideoFile(path)


BOMB = """
import resource, sys
from pathlib import Path
from contract.errors import BadSource
from ingest.footage.video import VideoFile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    VideoFile(Path(sys.argv[1]))
except BadSource as error:
    print(type(error).__name__, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_picture_bomb_is_refused_without_unpacking_it(tmp_path: Path) -> None:
    bomb = write_bomb(tmp_path / "a.mov", 12_000)
    assert bomb.stat().st_size < 5 << 20

    told = subprocess.run([sys.executable, "-c", BOMB, bomb], capture_output=True, text=True, check=True, timeout=60)

    name, grown_mib = told.stdout.split()
    assert name in ("UnreadableVideo", "RefusedSource")
    assert int(grown_mib) < 60  # unpacked it would be 137 MiB, and four times that while converted


def test_closing_early_ends_the_reader(tmp_path: Path) -> None:
    footage = VideoFile(write_clip(tmp_path / "a.mp4", 200))
    items = footage.items(Event())
    next(items)
    assert "mien-reader" in {thread.name for thread in threading.enumerate()}

    items.close()
    footage.close()

    assert "mien-reader" not in {thread.name for thread in threading.enumerate()}


def test_memory_stays_flat_over_a_long_clip(tmp_path: Path) -> None:
    footage = VideoFile(write_clip(tmp_path / "a.mp4", 2000, (160, 120)))
    peaks = []

    for item in footage.items(Event()):
        if isinstance(item, Frame) and item.picture() is not None and item.index in (500, 1999):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    footage.close()

    assert peaks[1] - peaks[0] < 16  # MiB; 1,500 frames kept would be 82
