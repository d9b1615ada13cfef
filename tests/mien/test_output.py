"""What a run writes: everything that was asked for, in every format."""

import csv
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from arro3.io import read_parquet

from contract.errors import BadOutput
from ingest.settings import IngestSettings
from ingest.sources import asked_for
from mien.output import Contents, check_writable, files_of, write
from mien.timelines import timelines
from mien.unseen import lines_of, unseen_of
from tests.ingest.clips import write_clip
from tests.mien.looking import NoFace, Sure, look, opened, snapshot_of

HAPPY, SMILE = Sure("happy", "expressions", "happiness"), Sure("smile", "action_units", "AU12")


@pytest.fixture
def study(tmp_path):
    """A folder: a clip with a face, one without, a broken one, one that nobody begins, a picture of no kind of ours."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, frames in (("anna.mp4", 40), ("empty.mp4", 20), ("never.mp4", 10)):
        write_clip(folder / name, frames)
    (folder / "broken.mp4").write_bytes(b"no video" * 1000)
    (folder / "photo.heic").write_bytes(b"x")
    return folder


def written(tmp_path, study, ending, engines=(HAPPY,)):
    """The paths that the study was written to."""
    asked = asked_for([str(study), f"Anna={study / 'anna.mp4'}"])
    anna, broken, empty = asked.sources[:3]
    path = tmp_path / f"study{ending}"
    with opened(tmp_path / "s.db") as store:
        settings = IngestSettings(detect_every=3)
        runs = [look([anna, broken], store, engines, settings=settings)]
        runs.append(look([empty], store, engines, follower=NoFace))
        keys = [key for run in runs for key in run.sessions]
        failures = {source: failure for run in runs for source, failure in run.failures.items()}
        with snapshot_of(tmp_path / "s.db") as snapshot:
            sessions = [snapshot.session(*key) for key in keys]
            unseen = unseen_of(asked, {source for source, _ in keys}, failures)
            contents = Contents([(each, timelines(snapshot, each)) for each in sessions], unseen)
            write(path, contents)
    return files_of(path)


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def table(path):
    """The rows of a Parquet file, as plain values."""
    found = read_parquet(path).read_all()
    names = found.schema.names
    return [
        dict(zip(names, row, strict=True)) for row in zip(*(found[name].to_pylist() for name in names), strict=True)
    ]


STATES = {
    "Anna": "looked_at",
    "empty.mp4": "looked_at",
    "broken.mp4": "failed",
    "never.mp4": "not_begun",
    "photo.heic": "left_out",
}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_everything_asked_for_has_a_row_with_its_state(tmp_path, study, ending):
    _, sources, _ = written(tmp_path, study, ending)
    found = (rows if ending == ".csv" else table)(sources)

    assert {Path(row["name"]).name: row["state"] for row in found} == STATES
    by_name = {Path(row["name"]).name: row for row in found}
    assert int(by_name["Anna"]["readings"]) == 40
    assert int(by_name["empty.mp4"]["people"]) == 0  # a clip without a face is an observation
    assert "ending is .heic" in by_name["photo.heic"]["reason"]
    assert by_name["broken.mp4"]["reason"]
    assert by_name["broken.mp4"]["source"].startswith("broken-")
    assert by_name["Anna"]["file"] == str(study / "anna.mp4")


def test_the_document_lists_what_was_not_looked_at(tmp_path, study):
    (path,) = written(tmp_path, study, ".json")
    document = json.loads(path.read_text())

    states = {Path(each["name"]).name: each["state"] for each in document["not_looked_at"]}
    assert states == {name: state for name, state in STATES.items() if state != "looked_at"}
    assert [len(source["people"]) for source in document["sources"]] == [1, 0]
    assert document["sources"][0]["settings"]["detect_every"] == 3


def test_the_three_formats_hold_the_same_readings(tmp_path, study):
    engines = (HAPPY, SMILE)
    (document,) = written(tmp_path, study, ".json", engines)
    in_csv = rows(written(tmp_path, study, ".csv", engines)[0])
    in_parquet = table(written(tmp_path, study, ".parquet", engines)[0])
    (person,) = json.loads(document.read_text())["sources"][0]["people"]

    for each in (in_csv, in_parquet):
        assert [float(row["t"]) for row in each] == person["t"]
        assert [int(row["frame"]) for row in each] == person["frame"]
        for column, values in (("happiness", person["expressions"]), ("AU12", person["action_units"])):
            assert [float(row[column]) for row in each] == pytest.approx(values[column], abs=1e-5)
        for place, side in enumerate(("x", "y", "width", "height")):
            assert [float(row[side]) for row in each] == [box[place] for box in person["box_xywh"]]
        assert {row["name"] for row in each} == {"Anna"}


def test_nets_and_settings_travel_in_the_metadata_of_parquet(tmp_path, study):
    for path in written(tmp_path, study, ".parquet"):
        said = read_parquet(path).read_all().schema.metadata_str
        assert said["mien.schema"] == "mien.run/1"
        assert json.loads(said["mien.model"])["nets"][0]["sha256"] == HAPPY.card.sha256
        settings = json.loads(said["mien.settings"])
        assert sorted(each["detect_every"] for each in settings.values()) == [3, 5]
        assert all(each["crop_edge"] == 160 and each["detector"] for each in settings.values())


def test_gaps_have_a_table_also_those_of_a_part_and_of_low_quality(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 100)
    out = tmp_path / "x.csv"
    settings = IngestSettings(min_quality=0.99, begin=400_000, end=3_200_000)
    with opened(tmp_path / "s.db") as store:
        run = look(asked_for([str(clip)]).sources, store, [HAPPY], settings=settings)
        with snapshot_of(tmp_path / "s.db") as snapshot:
            session = snapshot.session(*run.sessions[0])
            write(out, Contents([(session, timelines(snapshot, session))]))
    readings, sources, gaps = files_of(out)

    assert [(float(row["from"]), float(row["to"]), row["reason"], row["faces"]) for row in rows(gaps)] == [
        (0.0, 0.4, "not_asked", ""),
        (0.4, 3.2, "low_quality", "70"),
        (3.2, 4.0, "not_asked", ""),
    ]
    assert rows(sources)[0]["low_quality"] == "70"
    assert rows(readings) == []
    assert readings.read_text().startswith("source,session,person,name,t,frame,")


def test_a_name_with_a_comma_a_quote_or_a_semicolon_stays_one_field(tmp_path):
    clip = write_clip(tmp_path / 'a, "b"; c.mp4', 5)
    out = tmp_path / "x.csv"
    with opened(tmp_path / "s.db") as store:
        run = look(asked_for([str(clip)]).sources, store, [HAPPY])
        with snapshot_of(tmp_path / "s.db") as snapshot:
            session = snapshot.session(*run.sessions[0])
            write(out, Contents([(session, timelines(snapshot, session))]))

    assert {row["name"] for row in rows(out)} == {str(clip)}


def test_where_one_of_the_files_cannot_be_written_the_older_ones_stay(tmp_path, study, monkeypatch):
    out = tmp_path / "study.csv"
    for path in files_of(out):
        path.write_text("older")

    def fails(contents):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.output._SIDES", {"sources": fails, "gaps": fails})
    with pytest.raises((BadOutput, OSError)):
        written(tmp_path, study, ".csv")

    assert [path.read_text() for path in files_of(out)] == ["older"] * 3
    assert [path.name for path in tmp_path.glob(".*unfinished")] == []


@pytest.mark.parametrize("name", ["x.xlsx", "x", "missing/x.csv"])
def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path, name):
    with pytest.raises(BadOutput):
        check_writable(tmp_path / name)


def test_a_folder_in_the_place_of_a_side_table_is_found_before_the_work(tmp_path):
    (tmp_path / "x.gaps.csv").mkdir()

    with pytest.raises(BadOutput, match=r"x\.gaps\.csv: is a folder"):
        check_writable(tmp_path / "x.csv")


def test_what_was_not_begun_is_one_line_and_not_one_for_each(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.mp4").write_bytes(b"x")

    (line,) = lines_of(unseen_of(asked_for([str(tmp_path)]), (), {}))

    assert line.startswith("not looked at, the run was stopped before: ")
    assert line.endswith("4.mp4 and 4 more")


def test_a_run_that_is_stopped_lists_the_files_that_it_did_not_begin(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        write_clip(tmp_path / name, 200)
    asked = asked_for([str(tmp_path)])
    stop = threading.Event()

    class Stops(Sure):
        def __call__(self, crops):
            stop.set()
            return super().__call__(crops)

    with opened(tmp_path / "s.db") as store:
        run = look(asked.sources, store, [Stops("happy", "expressions", "happiness")], stop=stop)

    unseen = unseen_of(asked, {source for source, _ in run.sessions}, run.failures)
    begun = [source.uri for source in asked.sources if source.id in {key[0] for key in run.sessions}]
    assert [each.file for each in unseen] == [source.uri for source in asked.sources if source.uri not in begun]
    assert unseen
    assert {str(each.state) for each in unseen} == {"not_begun"}


LONG = """
import resource
import sys
from pathlib import Path
import numpy as np
from contract.points import Columns
from contract.readings import ChannelKind
from mien.output import Contents, write
from mien.timelines import Block, Timeline
from query.store import Person, Session
MINUTE = 1500
CHANNELS = tuple((ChannelKind.EXPRESSION, f"e{n}") for n in range(8))
def blocks():
    for minute in range(120):
        time_s = minute * 60 + np.arange(MINUTE) / 25
        ones, zeros = np.ones(MINUTE, np.float32), np.zeros((MINUTE, 4), np.float32)
        frame = np.arange(MINUTE) + minute * MINUTE
        points = Columns((time_s * 1e6).astype(np.int64), frame, zeros, ones, ones, ones, zeros[:, :3], zeros[:, :0])
        yield Block(time_s, points, {c: np.full(MINUTE, np.float32(0.123)) for c in CHANNELS})
session = Session(source="a", id="b", uri="a.mp4", opened_at=0, dated=False, size_wh=(640, 480), fps=25.0,
    sample_hz=None, keeps_pictures=False, complete_until=7_200_000_000, frames=180_000, looked_at=180_000,
    closed=True, gaps=())
people = [Timeline(Person(id=f"p{n}", source="a", session="b", first_time=0, last_time=1, points=180_000,
    has_picture=False), CHANNELS, (), blocks) for n in range(3)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write(Path(sys.argv[1]), Contents([(session, people)]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize("ending", [".json", ".csv", ".parquet"])
def test_two_hours_of_three_people_take_little_memory_to_write(tmp_path, ending):
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path / f"x{ending}")], capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 120  # MiB more than before; a list of Python numbers per column took 1,300
