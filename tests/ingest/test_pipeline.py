import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from contract.errors import BadRequest, BadSource, NoVideoInSource, UnreadableVideo
from contract.labels import GapReason
from contract.records import Face, Gap, Progress, Record, SessionOpened
from ingest.faces.align import TEMPLATE
from ingest.faces.detect import CenterFace
from ingest.faces.follow import Follower, SeenFace
from ingest.footage import End, Frame, Hole, Item, Rgb
from ingest.pipeline import Stored, Tally, nothing_stored, records_of
from ingest.settings import IngestSettings
from ingest.sources import Source, sources_of
from runtime.bus import InProcessBus
from tests.ingest.clips import STEP, cut_off, overwrite_packets, picture, write_clip, write_sound

EVERY = IngestSettings()
LANDMARKS = (TEMPLATE * 32 + 8).astype(np.float32)  # a face of 32 px in a picture of 64x48


class OneFace:
    """A follower that sees the same face in every frame, and a second one in every third."""

    def __init__(self) -> None:
        self.seen = 0

    def see(self, frame_rgb: Rgb, media_time_us: int) -> list[SeenFace]:
        self.seen += 1
        box = np.array([8, 8, 32, 32], np.float32)
        faces = [SeenFace(track=1, person=1, box_xywh=box, landmarks=LANDMARKS, score=0.9)]
        if self.seen % 3 == 0:
            faces.append(SeenFace(track=2, person=2, box_xywh=box, landmarks=LANDMARKS + 4, score=0.8))
        return faces


class Nobody:
    def see(self, frame_rgb: Rgb, media_time_us: int) -> list[SeenFace]:
        return []


def source_at(path: Path) -> Source:
    return sources_of([f"clip={path}"])[0]


def records_for(
    path: Path, settings: IngestSettings = EVERY, follower: Callable[[], Any] = OneFace, **more: Any
) -> list[Record]:
    return list(records_of(source_at(path), settings, follower, **more))


def stored_of(high_water: int, *interrupted_at: int) -> Callable[[str, str], Stored]:
    """The same state of every session."""
    return lambda source, session: Stored(high_water, interrupted_at)


def comparable(records: list[Record]) -> list[Record]:
    """The records with crops as bytes, which compare."""
    return [replace(each, crop=np.asarray(each.crop).tobytes()) if isinstance(each, Face) else each for each in records]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", 60)  # 2.4 s


def test_a_session_opens_shows_faces_reports_progress_and_closes(clip: Path) -> None:
    records = records_for(clip)

    opened, last = records[0], records[-1]
    assert isinstance(opened, SessionOpened)
    assert (opened.source, opened.uri, opened.size_wh, opened.fps) == ("clip", str(clip), (64, 48), 25.0)
    assert (opened.event_time, opened.dated, opened.sample_hz, opened.keeps_pictures) == (0, False, None, False)
    assert [record.sequence for record in records] == list(range(len(records)))
    assert {(record.source, record.session) for record in records} == {("clip", opened.session)}
    faces = [record for record in records if isinstance(record, Face)]
    assert len(faces) == 60 + 20
    assert [face.event_time for face in faces if face.track == 1] == [STEP * i for i in range(60)]
    assert [face.frame for face in faces if face.track == 1] == list(range(60))
    assert faces[0].person == f"clip.{opened.session}.1"
    assert faces[0].box_xywh == (8.0, 8.0, 32.0, 32.0)
    assert np.asarray(faces[0].crop).shape == (160, 160, 3)
    assert last == Progress(
        source="clip", session=opened.session, sequence=len(records) - 1,
        event_time=60 * STEP, frames=60, looked_at=60, closed=True,
    )  # fmt: skip


def test_progress_comes_once_per_second_and_never_runs_ahead(clip: Path) -> None:
    records = records_for(clip)

    said = [record for record in records if isinstance(record, Progress)]
    assert [progress.event_time for progress in said] == [1_000_000, 2_000_000, 2_400_000]
    assert [progress.frames for progress in said] == [25, 50, 60]
    assert [progress.closed for progress in said] == [False, False, True]
    final_until = 0
    for record in records:
        if isinstance(record, Face):
            assert record.event_time >= final_until  # everything before the last progress was final
        elif isinstance(record, Progress):
            final_until = record.event_time


def test_a_repeated_run_says_the_same(clip: Path) -> None:
    assert comparable(records_for(clip)) == comparable(records_for(clip))


def test_the_session_follows_content_and_settings_and_not_the_name(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    other = write_clip(tmp_path / "other.mp4", 61)

    def session(path: Path, **settings: Any) -> str:
        return next(records_of(source_at(path), IngestSettings(**settings), OneFace)).session

    same = session(clip)
    assert session(copy) == session(clip, every_n=1) == same
    different = [
        session(other),
        session(clip, every_n=2),
        session(clip, sample_hz=5),
        session(clip, recorded_at=0),
        session(clip, crop_edge=112),
        session(clip, min_quality=0.5),
        session(clip, detect_every=3),
        session(clip, detector="another 2"),
    ]
    assert len({same, *different}) == 9


def test_a_dated_file_counts_from_its_date(clip: Path) -> None:
    noon = 1_790_000_000_000_000

    records = records_for(clip, IngestSettings(recorded_at=noon))

    assert isinstance(records[0], SessionOpened)
    assert (records[0].event_time, records[0].dated) == (noon, True)
    assert records[1].event_time == noon  # type: ignore[union-attr]
    assert records[-1].event_time == noon + 60 * STEP  # type: ignore[union-attr]


def test_sampling_keeps_the_frame_numbers_of_the_source(clip: Path) -> None:
    records = records_for(clip, IngestSettings(every_n=20), tally=(tally := Tally()))

    faces = [record for record in records if isinstance(record, Face) and record.track == 1]
    assert [face.frame for face in faces] == [0, 20, 40]
    assert isinstance(records[0], SessionOpened)
    assert records[0].sample_hz == 1.25
    assert isinstance(records[-1], Progress)
    assert (records[-1].frames, records[-1].looked_at) == (60, 3)
    assert (tally.looked_at, tally.frames_expected, tally.duration) == (3, 60, 60 * STEP)


def test_no_face_at_all_is_an_answer(clip: Path) -> None:
    records = records_for(clip, follower=Nobody)

    assert [type(record) for record in records] == [SessionOpened, Progress, Progress, Progress]


def test_faces_below_the_wanted_quality_are_not_reported(clip: Path) -> None:
    qualities = {record.quality for record in records_for(clip) if isinstance(record, Face)}

    assert not [record for record in records_for(clip, IngestSettings(min_quality=1.0)) if isinstance(record, Face)]
    assert max(qualities) < 1.0


def test_a_face_whose_points_collapse_is_left_out(clip: Path) -> None:
    class Collapsed(OneFace):
        def see(self, frame_rgb: Rgb, media_time_us: int) -> list[SeenFace]:
            (face, *_) = super().see(frame_rgb, media_time_us)
            face.landmarks = np.zeros((5, 2), np.float32)
            return [face]

    assert [type(record) for record in records_for(clip, follower=Collapsed)] == [
        SessionOpened,
        Progress,
        Progress,
        Progress,
    ]


def test_a_truncated_file_keeps_what_it_holds_and_admits_the_rest(tmp_path: Path) -> None:
    clip = cut_off(write_clip(tmp_path / "a.mkv", 100, codec_options={"g": "10"}), 0.6)

    records = records_for(clip)

    gap, last = records[-2:]
    assert isinstance(gap, Gap)
    assert isinstance(last, Progress)
    assert (gap.end, gap.reason) == (100 * STEP, GapReason.TRUNCATED)
    assert gap.begin == last.frames * STEP
    assert (last.event_time, last.closed) == (100 * STEP, True)


def test_damage_is_a_gap_between_faces(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 50, codec="libx264", codec_options={"g": "1", "bf": "0"})
    overwrite_packets(clip, range(20, 30))

    records = records_for(clip)

    (gap,) = [record for record in records if isinstance(record, Gap)]
    assert (gap.begin, gap.end, gap.reason) == (20 * STEP, 30 * STEP, GapReason.DECODE_ERROR)
    seen = {record.event_time for record in records if isinstance(record, Face)}
    assert not [time for time in seen if gap.begin <= time < gap.end]


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (lambda path: path.write_bytes(b""), UnreadableVideo),
        (lambda path: path.write_bytes(b"<html>"), UnreadableVideo),
        (lambda path: write_sound(path), NoVideoInSource),
    ],
)
def test_a_bad_source_says_nothing_before_its_error(
    tmp_path: Path, write: Callable[[Path], Any], error: type[BadSource]
) -> None:
    path = tmp_path / "a.mp4"
    write(path)
    records = records_of(source_at(path), EVERY, OneFace)

    with pytest.raises(error):
        next(records)


def interrupted(clip: Path, after: int, stored: Callable[[str, str], Stored] = nothing_stored) -> list[Record]:
    """What a run says that is stopped after so many records."""
    stop = Event()
    records = []
    for record in records_of(source_at(clip), EVERY, OneFace, stored=stored, stop=stop):
        records.append(record)
        if len(records) == after:
            stop.set()
    return records


def test_an_interrupted_run_keeps_what_was_done_and_admits_the_rest(clip: Path) -> None:
    records = interrupted(clip, 30)

    *facts, gap = records
    whole = comparable(records_for(clip))
    assert comparable(facts) == whole[: len(facts)]
    assert isinstance(gap, Gap)
    assert (gap.end, gap.reason) == (60 * STEP, GapReason.INTERRUPTED)
    assert gap.sequence == whole[len(facts)].sequence  # of what comes next, whoever publishes that
    assert (gap.frames, gap.looked_at) == (gap.begin // STEP + 1,) * 2
    assert max(record.event_time for record in records if isinstance(record, Face)) < gap.begin
    assert not [thread for thread in threading.enumerate() if thread.name == "mien-reader"]


@pytest.mark.parametrize("stored", [0, 1, 25, 82])
def test_a_run_after_a_crash_says_exactly_what_is_missing(clip: Path, stored: int) -> None:
    whole = comparable(records_for(clip))

    rest = comparable(records_for(clip, stored=stored_of(stored)))

    assert rest == whole[stored + 1 :]


def test_a_run_after_two_interruptions_loses_and_repeats_nothing(clip: Path) -> None:
    *first, _ = interrupted(clip, 20)
    *second, _ = interrupted(clip, 30, stored_of(first[-1].sequence))
    third = records_for(clip, stored=stored_of(second[-1].sequence))

    assert comparable([*first, *second, *third]) == comparable(records_for(clip))


def test_a_run_after_interruptions_that_took_numbers_leaves_these_out(clip: Path) -> None:
    whole = comparable(records_for(clip))

    rest = comparable(records_for(clip, stored=stored_of(21, 20)))  # 0 to 19, then a gap and a progress

    assert rest == [replace(record, sequence=record.sequence + 2) for record in whole[20:]]


def test_a_session_that_was_finished_is_not_looked_at_again(clip: Path) -> None:
    tally = Tally()

    assert records_for(clip, stored=lambda source, session: Stored(99, closed=True), tally=tally) == []
    assert tally.frames == 0


@pytest.mark.parametrize(("stored", "new"), [(11, [12, 13]), (12, [13]), (13, []), (14, []), (40, [])])
def test_a_run_stopped_before_what_is_stored_says_nothing(clip: Path, stored: int, new: list[int]) -> None:
    stop = Event()

    class StopsAfterNine(OneFace):  # 1 opening + 9 frames + 3 second faces: the gap has number 13
        def see(self, frame_rgb: Rgb, media_time_us: int) -> list[SeenFace]:
            faces = super().see(frame_rgb, media_time_us)
            if self.seen == 9:
                stop.set()
            return faces

    records = records_for(clip, EVERY, StopsAfterNine, stored=stored_of(stored), stop=stop)

    assert [record.sequence for record in records] == new


class Live:
    """A camera of two sessions, three seconds apart, played from memory."""

    fps, duration, frames_expected = 10.0, None, None
    size_wh = (64, 48)
    start_offset, notes = 0, ()

    def __init__(self, began_at: int, down_since: int | None, stop_after: int | None = None) -> None:
        self.began_at, self.down_since, self.stop_after = began_at, down_since, stop_after

    def items(self, stop: Event) -> Iterator[Item | None]:
        for index in range(15):
            yield None
            if index == 5:
                yield Hole(500_000, 600_000, GapReason.DROPPED)
            else:
                yield Frame(index, index * 100_000, index * 100_000 + 100_000, partial(picture, index, self.size_wh))
            if index == self.stop_after:
                stop.set()
        yield End(15, 1_500_000)

    def close(self) -> None:
        pass


class TwoConnections:
    def sessions(self, stop: Event, track: int | None = None) -> Iterator[Live]:
        yield Live(1_000_000_000, None)
        yield Live(1_004_500_000, 1_001_500_000, stop_after=7)

    def session_id(self, footage: Any, settings: bytes) -> str:
        return f"at{footage.began_at}"


def test_a_camera_opens_a_session_per_connection_and_admits_its_absence() -> None:
    records = list(records_of(Source("door", "rtsp://door", TwoConnections()), EVERY, OneFace))

    first = [record for record in records if record.session == "at1000000000"]
    second = [record for record in records if record.session == "at1004500000"]
    assert [record.sequence for record in second] == list(range(len(second)))
    assert isinstance(first[0], SessionOpened)
    assert (first[0].event_time, first[0].dated) == (1_000_000_000, True)
    dropped = [record for record in first if isinstance(record, Gap)]
    assert [(gap.begin, gap.end, gap.reason) for gap in dropped] == [(1_000_500_000, 1_000_600_000, GapReason.DROPPED)]
    assert isinstance(first[-1], Progress)
    assert first[-1].closed
    absence = second[1]
    assert isinstance(absence, Gap)
    assert (absence.begin, absence.end) == (1_001_500_000, 1_004_500_000)
    assert absence.reason is GapReason.SOURCE_DOWN
    last = second[-1]
    assert isinstance(last, Progress)  # stopped by the user: for a camera that is the end of the session
    assert last.closed


def test_records_arrive_on_the_bus_in_order(clip: Path) -> None:
    bus = InProcessBus(capacity=1000)

    for record in records_of(source_at(clip), EVERY, OneFace):
        bus.publish(record)
    bus.close()

    arrived = [delivery for delivery in bus.deliveries(0.1) if delivery]
    assert [delivery.offset for delivery in arrived] == list(range(len(arrived)))
    assert comparable([delivery.record for delivery in arrived]) == comparable(records_for(clip))


@pytest.mark.parametrize(
    "settings",
    [{"every_n": 0}, {"detect_every": 0}, {"crop_edge": 4}, {"min_quality": 2}, {"every_n": 2, "sample_hz": 1}],
)
def test_settings_out_of_range_are_a_bad_request(settings: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=next(iter(settings))):
        IngestSettings(**settings)


def test_a_still_picture_gives_its_faces_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture(0, (64, 48)))

    records = records_for(path)

    assert [type(record) for record in records] == [SessionOpened, Face, Progress]
    assert isinstance(records[-1], Progress)
    assert (records[-1].event_time, records[-1].closed) == (1, True)


def test_a_real_face_is_followed_through_a_real_video(shared_data: Path) -> None:
    detector = CenterFace()

    records = records_for(
        shared_data / "videos" / "intel" / "asl_yes.mkv", follower=lambda: Follower(detector, detect_every=5)
    )

    faces = [record for record in records if isinstance(record, Face)]
    assert len(faces) == 65  # one person signs in all of its 65 frames
    assert {face.person for face in faces} == {f"clip.{records[0].session}.1"}


def test_faces_below_the_wanted_quality_are_counted_where_they_were_left_out(clip: Path) -> None:
    every = [record for record in records_for(clip) if isinstance(record, Face)]
    records = records_for(clip, IngestSettings(min_quality=0.99))

    gaps = [record for record in records if isinstance(record, Gap)]
    assert not [record for record in records if isinstance(record, Face)]
    assert {gap.reason for gap in gaps} == {GapReason.LOW_QUALITY}
    assert sum(gap.faces for gap in gaps) == len(every)
    assert (gaps[0].begin, gaps[-1].end) == (0, 60 * STEP)
    final_until = 0
    for record in records:
        if isinstance(record, Gap):
            assert record.begin >= final_until
        elif isinstance(record, Progress):
            final_until = record.event_time


def test_a_part_of_a_video_is_looked_at_and_the_rest_is_marked_as_not_asked_for(clip: Path) -> None:
    whole = [record for record in records_for(clip) if isinstance(record, Face)]
    part = records_for(clip, IngestSettings(begin=10 * STEP, end=20 * STEP))

    seen = {record.frame for record in part if isinstance(record, Face)}
    gaps = [(record.begin, record.end, record.reason) for record in part if isinstance(record, Gap)]
    assert seen == set(range(10, 20))
    assert {face.event_time for face in whole if face.frame in seen} == {frame * STEP for frame in seen}
    assert gaps == [(0, 10 * STEP, "not_asked"), (20 * STEP, 60 * STEP, "not_asked")]
    assert isinstance(part[-1], Progress)
    assert (part[-1].closed, part[-1].looked_at) == (True, 10)


def test_a_part_is_another_session_and_the_whole_one_is_not_renamed_by_it(clip: Path) -> None:
    sessions = {
        records_for(clip, settings)[0].session
        for settings in (EVERY, IngestSettings(begin=0, end=STEP), IngestSettings(end=STEP), IngestSettings(begin=STEP))
    }
    assert len(sessions) == 4


@pytest.mark.parametrize("part", [{"begin": -1}, {"begin": 5, "end": 5}, {"end": 0}])
def test_a_part_that_is_none_is_refused(part: dict[str, int]) -> None:
    with pytest.raises(BadRequest, match="from "):
        IngestSettings(**part)


def test_a_file_has_its_own_date_and_says_how_it_was_looked_at(clip: Path) -> None:
    noon = 1_790_000_000_000_000
    dated = dataclasses.replace(source_at(clip), recorded_at=noon)

    opened = next(records_of(dated, IngestSettings(every_n=3, min_quality=0.2, recorded_at=0), OneFace))

    assert isinstance(opened, SessionOpened)
    assert (opened.event_time, opened.dated, opened.name) == (noon, True, "clip")
    stated = json.loads(opened.settings)
    assert (stated["every_n"], stated["min_quality"], stated["crop_edge"]) == (3, 0.2, 160)
    assert stated["detector"].startswith("centerface")
    assert stated["mien"]


def test_frames_dropped_between_two_samples_are_no_gap() -> None:
    records = list(records_of(Source("door", "rtsp://door", OneConnection()), IngestSettings(sample_hz=2), OneFace))

    assert not [record for record in records if isinstance(record, Gap)]  # 100 ms are missing, samples are 500 ms apart


class OneConnection(TwoConnections):
    def sessions(self, stop: Event, track: int | None = None) -> Iterator[Live]:
        yield Live(1_000_000_000, None)


def test_what_of_a_file_is_not_looked_at_is_a_line_for_the_user(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Live, "notes", ("looks at track 1, not at track 2",))

    list(records_of(Source("door", "rtsp://door", OneConnection()), EVERY, OneFace))

    assert caplog.messages == ["mien: door: looks at track 1, not at track 2"]
