"""Which track of a file is looked at: the film, never its cover; what is left out is named."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from contract.errors import NoVideoInSource
from ingest.footage.video import VideoFile
from tests.ingest.clips import FPS, all_of, picture, write_clip, write_tone


def write_tracks(path: Path, *tracks: tuple[str, int, tuple[int, int], int], tones: int = 0) -> Path:
    """A file with these picture tracks: (codec, frames, size, disposition), and so many tracks of sound."""
    with av.open(str(path), "w") as container:
        streams = []
        for codec, _, size_wh, disposition in tracks:
            stream = container.add_stream(codec, rate=FPS)
            stream.width, stream.height = size_wh
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = Disposition(disposition)
            streams.append(stream)
        sounds = [container.add_stream("aac", rate=44_100) for _ in range(tones)]
        for stream, (_, frames, size_wh, _) in zip(streams, tracks, strict=True):
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(index, size_wh), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        for sound in sounds:
            write_tone(container, sound, 0.1)
    return path


NONE, DEFAULT = 0, int(Disposition.default)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_the_longer_track_is_the_film_and_not_the_larger_poster(tmp_path: Path, name: str) -> None:
    poster = "mpeg2video" if name == "a.ts" else "mjpeg"
    path = write_tracks(tmp_path / name, (poster, 1, (320, 240), DEFAULT), ("libx264", 30, (64, 48), NONE))

    footage = VideoFile(path)

    assert (footage.size_wh, len(all_of(footage)[0])) == ((64, 48), 30)
    (note,) = footage.notes
    assert "looks at track 2 (h264 64x48, 25/s), not at track 1 (" in note
    assert "320x240, 1 picture)" in note


def test_of_films_of_one_length_the_default_one_is_looked_at_else_the_largest(tmp_path: Path) -> None:
    marked = write_tracks(tmp_path / "a.mkv", ("libx264", 20, (128, 96), NONE), ("libx264", 20, (64, 48), DEFAULT))
    unmarked = write_tracks(tmp_path / "b.ts", ("libx264", 20, (64, 48), NONE), ("libx264", 20, (128, 96), NONE))

    assert VideoFile(marked).size_wh == (64, 48)
    assert VideoFile(unmarked).size_wh == (128, 96)


def test_the_user_chooses_a_track_by_its_number(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", ("libx264", 20, (128, 96), DEFAULT), ("libx264", 10, (64, 48), NONE))

    assert len(all_of(VideoFile(path, 2))[0]) == 10
    with pytest.raises(NoVideoInSource, match=r"a\.mkv has no picture track 3; wanted one of: track 1 \(h264 128x96"):
        VideoFile(path, 3)


def test_a_song_with_a_cover_that_is_not_marked_as_one_holds_no_video(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", ("mjpeg", 1, (64, 48), DEFAULT), tones=1)

    with pytest.raises(NoVideoInSource, match="no video track, only audio and a cover picture"):
        VideoFile(path)


def test_a_file_of_many_tracks_is_read_whole(tmp_path: Path) -> None:
    path = write_tracks(tmp_path / "a.mkv", ("libx264", 30, (64, 48), DEFAULT), tones=70)

    footage = VideoFile(path)

    assert footage.notes == ()
    assert len(all_of(footage)[0]) == 30


def test_one_track_needs_no_word(tmp_path: Path) -> None:
    footage = VideoFile(write_clip(tmp_path / "a.mp4", 5, sound_s=0.2))

    assert footage.notes == ()
    assert np.asarray(all_of(footage)[0][0].rgb).shape == (48, 64, 3)
