"""What is missing is a hole, and what a decoder smears out of its rests is not looked at."""

from pathlib import Path

import av
import pytest

from contract.labels import GapReason
from ingest.footage import Hole
from ingest.footage.nal import PictureNumbers, units
from ingest.footage.video import VideoFile
from tests.ingest.clips import STEP, all_of, write_moving

SOUND = {
    "default": {},
    "pyramid": {"x264-params": "bframes=5:b-pyramid=normal:ref=5:keyint=20"},
    "strict pyramid": {"x264-params": "bframes=3:b-pyramid=strict:keyint=30"},
    "slices": {"x264-params": "slices=4:keyint=15"},
    "open groups": {"x264-params": "open-gop=1:keyint=12:bframes=3"},
    "refreshed without key frames": {"x264-params": "intra-refresh=1:keyint=20"},
    "interlaced": {"x264-params": "interlaced=1:keyint=20"},
    "baseline": {"profile": "baseline", "g": "12"},
    "many key frames": {"g": "1"},
    "weighted": {"x264-params": "weightp=2:weightb=1:bframes=8:keyint=40:scenecut=0"},
}


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
@pytest.mark.parametrize("kind", SOUND)
def test_nothing_is_missed_in_a_sound_file(tmp_path: Path, name: str, kind: str) -> None:
    frames, holes, end = all_of(VideoFile(write_moving(tmp_path / name, "libx264", options=SOUND[kind])))

    assert [frame.index for frame in frames] == list(range(60))
    assert [round(frame.media_time / STEP) for frame in frames] == list(range(60))
    assert (holes, end.frames) == ([], 60)


@pytest.mark.parametrize("codec", ["libx265", "mpeg2video", "mpeg4", "libvpx", "libvpx-vp9", "mpeg1video"])
def test_nothing_is_missed_in_a_sound_file_of_another_codec(tmp_path: Path, codec: str) -> None:
    name = "a.webm" if "vpx" in codec else "a.ts"
    options = {"x265-params": "log-level=none:keyint=15"} if codec == "libx265" else {"g": "15"}

    frames, holes, end = all_of(VideoFile(write_moving(tmp_path / name, codec, options=options)))

    assert [frame.index for frame in frames] == list(range(60))
    assert (holes, end.frames) == ([], 60)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.ts", "libx264", {"x264-params": "bframes=0:keyint=20:scenecut=0"}),
        ("a.mp4", "libx264", {"x264-params": "bframes=0:keyint=20:scenecut=0"}),
        ("a.mkv", "libx264", {"x264-params": "bframes=0:keyint=20:scenecut=0"}),
        ("a.ts", "libx265", {"x265-params": "log-level=none:bframes=0:keyint=20:scenecut=0"}),
        ("a.ts", "mpeg2video", {"g": "20", "sc_threshold": "1000000000"}),
    ],
)
@pytest.mark.parametrize("lost", [range(25, 26), range(25, 28)])
def test_from_lost_packets_to_the_next_key_frame_nothing_is_looked_at(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], lost: range
) -> None:
    frames, holes, _ = all_of(VideoFile(write_moving(tmp_path / name, codec, lost=lost, options=options)))

    shown = [round(frame.media_time / STEP) for frame in frames]
    assert shown == [*range(25), *range(40, 60)]
    (hole,) = holes
    assert (round(hole.begin / STEP), round(hole.end / STEP)) == (25, 40)
    assert hole.reason is GapReason.DECODE_ERROR


@pytest.mark.parametrize("count", [15, 16])
def test_a_loss_that_no_key_frame_ends_lasts_to_the_end(tmp_path: Path, count: int) -> None:
    options = {"x264-params": "bframes=0:keyint=infinite:scenecut=0"}  # numbers of four bits: 16 and again

    frames, holes, end = all_of(
        VideoFile(write_moving(tmp_path / "a.ts", "libx264", lost=range(20, 20 + count), options=options))
    )

    assert len(frames) == 20
    assert holes == [Hole(20 * STEP, 60 * STEP, GapReason.DECODE_ERROR)]
    assert end.media_time == 60 * STEP


def test_frames_keep_their_numbers_behind_damage(tmp_path: Path) -> None:
    options = {"x264-params": "bframes=2:keyint=20:scenecut=0"}
    clip = write_moving(tmp_path / "a.mp4", "libx264", options=options)
    with av.open(str(clip)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(clip.read_bytes())
    position, size = places[21]
    content[position : position + size] = b"\xff" * size
    clip.write_bytes(content)

    frames, holes, end = all_of(VideoFile(clip))

    assert [frame.index for frame in frames] == [round(frame.media_time / STEP) for frame in frames]
    assert frames[-1].index == 59
    assert end.frames == 60
    assert len(holes) == 1


def test_the_start_that_cannot_be_decoded_is_a_hole_and_its_frames_are_counted(tmp_path: Path) -> None:
    options = {"x264-params": "bframes=0:keyint=20:scenecut=0"}
    clip = write_moving(tmp_path / "a.ts", "libx264", lost=range(5), options=options)

    frames, holes, _ = all_of(VideoFile(clip))

    assert holes == [Hole(0, 15 * STEP, GapReason.DECODE_ERROR)]
    assert (frames[0].media_time, frames[0].index) == (15 * STEP, 15)


def test_a_fragment_cut_out_of_a_broadcast_begins_where_its_packets_do(tmp_path: Path) -> None:
    whole = write_moving(
        tmp_path / "a.ts", "libx264", 100, options={"x264-params": "bframes=0:keyint=25:scenecut=0"}
    ).read_bytes()
    (tmp_path / "b.ts").write_bytes(whole[len(whole) // 3 // 188 * 188 :])

    frames, holes, _ = all_of(VideoFile(tmp_path / "b.ts"))

    assert holes[0].begin == 0
    assert holes[0].end == frames[0].media_time
    assert frames[0].index == round(frames[0].media_time / STEP)


def test_units_are_found_behind_start_codes_and_lengths() -> None:
    assert list(units(b"\0\0\0\1\x67ab\0\0\1\x68c", None)) == [b"\x67ab", b"\x68c"]
    assert list(units(b"\0\0\0\3\x67ab\0\0\0\2\x68c", 4)) == [b"\x67ab", b"\x68c"]
    assert list(units(b"", None)) == []


@pytest.mark.parametrize("junk", [b"", b"\1", b"\1\0\0\0\xff\xff\xff", b"\0\0\1\x67", b"\0\0\1\x67" + b"\xff" * 99])
def test_junk_has_no_picture_numbers(junk: bytes) -> None:
    numbers = PictureNumbers(junk)

    assert not numbers.missing_before(junk)
    assert not numbers.missing_before(b"\0\0\1\x41" + bytes(50))
