"""Lengths, rates, stamps and endings are claims: what is decoded wins."""

import struct
from itertools import pairwise
from pathlib import Path

import av
import pytest

from contract.labels import GapReason
from ingest.footage.video import VideoFile
from ingest.footage.whole import is_cut
from tests.ingest.clips import STEP, all_of, cut_off, shown_index, write_clip, write_moving

HOUR_MS = 3_600_000


def times_of(path: Path) -> list[int]:
    """Media times of all frames, in steps."""
    return [round(frame.media_time / STEP) for frame in all_of(VideoFile(path))[0]]


@pytest.mark.parametrize(
    ("codec", "options"), [("mpeg4", {"bf": "2"}), ("libx264", {"bf": "3"}), ("libx264", {}), ("mjpeg", {})]
)
def test_an_avi_with_frames_out_of_order_has_even_times(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = write_clip(tmp_path / "a.avi", 40, codec=codec, codec_options=options, pix_fmt=pix_fmt)

    frames, holes, end = all_of(VideoFile(clip))

    assert [frame.media_time for frame in frames] == [STEP * i for i in range(40)]
    assert [shown_index(frame, 5) for frame in frames[:5]] == [0, 1, 2, 3, 4]
    assert (holes, end.media_time) == ([], 40 * STEP)


@pytest.mark.parametrize("field", ["step", "frames", "length"])
@pytest.mark.parametrize("value", [0, 1, 100_000, 0x7FFF_FFFF])
def test_odd_headers_of_an_avi_change_nothing(tmp_path: Path, field: str, value: int) -> None:
    clip = write_clip(tmp_path / "a.avi", 40)
    content = bytearray(clip.read_bytes())
    main, stream = content.find(b"avih"), content.find(b"strh")
    at = {"step": main + 8, "frames": main + 24, "length": stream + 8 + 32}[field]
    struct.pack_into("<I", content, at, value)
    clip.write_bytes(content)

    footage = VideoFile(clip)
    frames, holes, end = all_of(footage)

    assert len(frames) == 40
    assert (footage.duration, footage.fps, holes, end.media_time) == (40 * STEP, 25, [], 40 * STEP)


@pytest.mark.parametrize("stated_s", [0.1, 60.0])
def test_a_matroska_file_that_states_another_length_is_believed_where_it_shows_it(
    tmp_path: Path, stated_s: float
) -> None:
    clip = write_clip(tmp_path / "a.mkv", 40)
    content = clip.read_bytes()
    at = content.find(b"\x44\x89\x88")  # Duration, a double of 8 bytes, in ms
    content = content[: at + 3] + struct.pack(">d", 1000 * stated_s) + content[at + 11 :]
    tag = content.rfind(b"00:00:01.600000000")
    content = content[:tag] + b"00:00:%012.9f" % stated_s + content[tag + 18 :]
    clip.write_bytes(content)

    frames, holes, end = all_of(footage := VideoFile(clip))

    assert (len(frames), holes, end.media_time, footage.duration) == (40, [], 40 * STEP, 40 * STEP)


def test_the_mean_rate_of_a_variable_one_is_that_of_its_frames(tmp_path: Path) -> None:
    times_ms = [sum((20, 60, 100)[step % 3] for step in range(index)) for index in range(60)]

    for name in ("a.mkv", "a.mp4"):
        footage = VideoFile(write_clip(tmp_path / name, times_ms=times_ms))
        assert footage.fps == pytest.approx(1000 * 59 / times_ms[-1], rel=0.02)
        assert len(all_of(footage)[0]) == 60


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov", "a.flv"])
def test_a_pause_of_a_constant_rate_is_time_without_frames(tmp_path: Path, name: str) -> None:
    codec = "flv1" if name == "a.flv" else "libx264"
    times_ms = [40 * i + (20_000 if i >= 30 else 0) for i in range(60)]

    frames, holes, _ = all_of(VideoFile(write_clip(tmp_path / name, times_ms=times_ms, codec=codec)))

    assert len(frames) == 60
    (hole,) = holes
    assert hole.reason is GapReason.NO_FRAMES
    assert (hole.begin, hole.end) == (pytest.approx(1_200_000, abs=2000), pytest.approx(21_200_000, abs=2000))


def test_frames_that_last_long_by_themselves_are_no_pause(tmp_path: Path) -> None:
    for step_ms in (1000, 5000):
        clip = write_clip(tmp_path / f"{step_ms}.mp4", times_ms=[step_ms * i for i in range(8)])
        assert all_of(VideoFile(clip))[1] == []


@pytest.mark.parametrize(
    "later_ms", [-HOUR_MS // 2, -100_000, -10_000, 25 * HOUR_MS, 2 * HOUR_MS], ids=lambda ms: f"{ms / 1000:g} s"
)
def test_a_clock_that_is_set_does_not_stretch_a_clip(tmp_path: Path, later_ms: int) -> None:
    first = write_clip(tmp_path / "1.ts", 25, codec="libx264", start_ms=HOUR_MS)
    second = write_clip(tmp_path / "2.ts", 25, codec="libx264", start_ms=HOUR_MS + 1000 + later_ms)
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())

    frames, holes, end = all_of(footage := VideoFile(tmp_path / "both.ts"))

    times = [frame.media_time for frame in frames]
    assert len(times) == 50
    assert all(0 < later - earlier <= 2 * STEP for earlier, later in pairwise(times))
    assert end.media_time <= 51 * STEP
    assert footage.duration == pytest.approx(50 * STEP, abs=4 * STEP)
    assert holes == []


def test_a_clock_that_is_set_forward_by_minutes_leaves_a_gap(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "1.ts", 25, codec="libx264")
    second = write_clip(tmp_path / "2.ts", 25, codec="libx264", start_ms=1000 + 120_000)
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())

    _, holes, _ = all_of(VideoFile(tmp_path / "both.ts"))

    (hole,) = holes
    assert (hole.begin, hole.reason) == (25 * STEP, GapReason.NO_FRAMES)
    assert hole.end == pytest.approx(25 * STEP + 120_000_000, abs=3 * STEP)  # the decoder's delay is in one start only


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_a_clock_that_wraps_goes_on(tmp_path: Path, name: str) -> None:
    codec = "libx264" if name == "a.ts" else "mpeg2video"
    wrap_ms = (1 << 33) // 90
    clip = write_clip(tmp_path / name, 50, codec=codec, start_ms=wrap_ms - 2400)

    frames, holes, end = all_of(VideoFile(clip))

    assert [round(frame.media_time / STEP) for frame in frames] == list(range(50))
    assert (holes, round(end.media_time / STEP)) == ([], 50)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video", "mpeg1video"])
@pytest.mark.parametrize("shape", ["whole", "renamed", "padded", "begun late"])
def test_program_streams_are_read_whatever_is_in_them_and_before_them(tmp_path: Path, codec: str, shape: str) -> None:
    options = {"x265-params": "log-level=none:keyint=10"} if codec == "libx265" else {"g": "10"}
    content = write_moving(tmp_path / "a.mpg", codec, 60, options=options).read_bytes()
    path = tmp_path / ("a.mp4" if shape == "renamed" else "a.vob")
    path.write_bytes({"padded": bytes(5000) + content, "begun late": content[len(content) // 5 :]}.get(shape, content))

    frames, _, end = all_of(VideoFile(path))

    assert len(frames) == 60 if shape != "begun late" else 30 <= len(frames) <= 60
    assert end.media_time == pytest.approx(60 * STEP, abs=STEP if shape != "begun late" else 30 * STEP)


def test_a_start_of_sound_before_the_picture_is_the_offset(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.ts"):
        footage = VideoFile(write_clip(tmp_path / name, 30, codec="libx264", sound_s=1.5, start_ms=480))
        frames, _, _ = all_of(footage)
        assert frames[0].media_time == 0
        assert footage.start_offset == pytest.approx(480_000, abs=30_000), name
    assert VideoFile(write_clip(tmp_path / "b.ts", 30, codec="libx264", start_ms=480)).start_offset == 0


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.flv"])
def test_a_file_is_cut_where_its_structure_goes_on(tmp_path: Path, name: str) -> None:
    codec = "flv1" if name == "a.flv" else "mpeg4"
    clip = write_clip(tmp_path / name, 40, codec=codec, options={"movflags": "faststart"} if name == "a.mp4" else {})
    whole = clip.read_bytes()

    assert not is_cut(clip)
    clip.write_bytes(whole + b"\0" * 3)
    assert name in ("a.mkv", "a.flv") or not is_cut(clip)
    clip.write_bytes(whole)
    assert is_cut(cut_off(clip, 0.7))


def test_a_picture_that_grows_is_looked_at_in_its_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "call.webm"
    parts = [((64, 48), range(20)), ((128, 96), range(20, 40)), ((96, 72), range(40, 60))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, (size_wh, indices) in enumerate(parts):
            clip = write_clip(tmp_path / f"{number}.webm", len(indices), size_wh, codec="libvpx")
            with av.open(str(clip)) as part:
                for packet in part.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        packet.pts = packet.dts = round(packet.pts + 40 * indices[0])
                        container.mux(packet)

    footage = VideoFile(path)
    frames, _, _ = all_of(footage)

    assert footage.size_wh == (128, 96)
    assert len(frames) == 60
    assert {frame.rgb.shape for frame in frames} == {(96, 128, 3)}


@pytest.mark.parametrize(("name", "codec"), [("a.flv", "flv1"), ("a.wmv", "wmv2"), ("a.gif", "gif"), ("a.ogv", "")])
def test_other_containers_are_read(tmp_path: Path, name: str, codec: str) -> None:
    if not codec:
        pytest.skip("no encoder for Theora here")
    pix_fmt = "rgb8" if codec == "gif" else "yuv420p"

    frames, holes, end = all_of(VideoFile(write_clip(tmp_path / name, 20, codec=codec, pix_fmt=pix_fmt)))

    assert (len(frames), holes) == (20, [])
    assert end.media_time == pytest.approx(20 * STEP, abs=2000)
