import contextlib
import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from arro3.io import read_parquet

from mien.demo import View, film, read_portrait


@pytest.fixture(scope="module")
def document(mien, face_clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "x.json"
    done = mien("run", face_clip, "--no-serve", "--out", out)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def test_the_document_says_what_it_is_and_which_weights_read_the_faces(document):
    assert document["schema"] == "mien.run/1"
    assert document["model"]["name"] == "expressions.int8"
    assert len(document["model"]["nets"][0]["sha256"]) == 64


def test_a_source_says_how_much_of_it_was_seen(document):
    (source,) = document["sources"]

    assert (source["frames"], source["fps"], source["gaps"]) == (75, 25.0, [])
    assert source["source"].startswith("face-")
    assert source["finished"]


def test_a_person_has_an_entry_for_every_frame_in_which_the_face_is_seen(document):
    (person,) = document["sources"][0]["people"]
    frames = person["frame"]

    assert set(range(25)) | set(range(50, 75)) == set(frames)
    assert person["t"] == pytest.approx([frame / 25 for frame in frames], abs=1e-6)


def test_all_lists_of_a_person_have_one_length(document):
    (person,) = document["sources"][0]["people"]
    columns = [*(v for v in person.values() if isinstance(v, list)), *person["expressions"].values()]

    assert {len(column) for column in columns} == {50}
    assert person["action_units"] == {}


def test_the_box_lies_on_the_face(document):
    (person,) = document["sources"][0]["people"]
    # The portrait's face is 89×120 px about (225, 118); the clip shows it at 0.9 about its own centre (230, 150).
    x, y, width, height = np.mean(person["box_xywh"], axis=0)

    assert (x + width / 2, y + height / 2) == pytest.approx((155.9, 91.2), abs=12)
    assert (width, height) == pytest.approx((80, 108), rel=0.25)


def test_the_smile_of_the_portrait_is_read(document):
    (person,) = document["sources"][0]["people"]
    expressions = {name: np.array(values) for name, values in person["expressions"].items()}

    assert expressions["happiness"].mean() > 0.7
    assert sum(expressions.values()) == pytest.approx(np.ones(50), abs=1e-3)


def test_csv_and_parquet_hold_the_same_rows(mien, face_clip, tmp_path, document):
    for name in ("x.csv", "x.parquet"):
        assert mien("run", face_clip, "--no-serve", "--out", tmp_path / name).returncode == 0
    (person,) = document["sources"][0]["people"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text())))
    table = read_parquet(tmp_path / "x.parquet").read_all()

    assert [float(row["t"]) for row in rows] == person["t"]
    assert [float(row["happiness"]) for row in rows] == person["expressions"]["happiness"]
    assert table.column("t").to_numpy().tolist() == person["t"]
    assert table.column("happiness").to_numpy() == pytest.approx(person["expressions"]["happiness"], abs=1e-6)
    assert table.schema.metadata_str["mien.schema"] == "mien.run/1"


def test_the_same_video_twice_into_one_store_adds_nothing(mien, face_clip, tmp_path):
    store = tmp_path / "s.db"
    first = mien("run", face_clip, "--no-serve", "--store", store)
    listed = mien("query", store, "--format", "csv").stdout
    again = mien("run", face_clip, "--no-serve", "--store", store)

    assert (first.returncode, again.returncode) == (0, 0)
    assert mien("query", store, "--format", "csv").stdout == listed
    assert listed.splitlines()[1].endswith(",50")


def test_a_net_more_over_a_store_gives_its_channels_and_doubles_nobody(mien, face_clip, tmp_path):
    run = ("run", face_clip, "--no-serve", "--every-n", "5", "--store", tmp_path / "s.db", "--nets")
    assert mien(*run, "expressions.int8").returncode == 0

    done = mien(*run, "expressions.int8,action_units", "--out", tmp_path / "x.json")

    (person,) = json.loads((tmp_path / "x.json").read_text())["sources"][0]["people"]
    assert done.returncode == 0, done.stderr
    assert "stored without action_units; reading the video again" in done.stderr
    assert [len(person["action_units"][name]) for name in ("AU6", "AU12")] == [10, 10]
    assert len(mien("query", tmp_path / "s.db", "--format", "csv").stdout.splitlines()) == 2


def test_a_folder_names_what_it_holds_beside_videos(mien, face_clip, tmp_path):
    for name in ("a.mp4", "inner/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(face_clip.read_bytes())
    (tmp_path / "c.heic").write_bytes(b"x")

    flat = mien("run", tmp_path, "--no-serve", "--every-n", "25")
    deep = mien("run", tmp_path, "--no-serve", "--every-n", "25", "--recursive")

    assert f"its ending is .heic: {tmp_path / 'c.heic'}" in flat.stderr
    assert f"a sub-folder; --recursive looks into it: {tmp_path / 'inner'}" in flat.stderr
    assert "a sub-folder" not in deep.stderr
    assert [done.stdout.count("frames · 3.0 s") for done in (flat, deep)] == [1, 2]


def test_every_nth_frame_only(mien, face_clip, tmp_path):
    assert mien("run", face_clip, "--no-serve", "--every-n", "5", "--out", tmp_path / "x.json").returncode == 0

    (person,) = json.loads((tmp_path / "x.json").read_text())["sources"][0]["people"]
    assert set(person["frame"]) == set(range(0, 25, 5)) | set(range(50, 75, 5))


def test_a_recording_date_makes_dates_of_times(mien, face_clip, tmp_path):
    store = tmp_path / "s.db"
    done = mien("run", face_clip, "--no-serve", "--store", store, "--recorded-at", "2026-11-21T09:30:00+01:00")

    assert done.returncode == 0, done.stderr
    assert "2026-11-21T08:30:00" in mien("query", store, "--format", "csv").stdout


def test_a_picture_is_kept_only_where_the_user_allows_it(mien, face_clip, tmp_path):
    kept = {}
    for option in ("--pictures", "--no-serve"):
        store = tmp_path / f"{option}.db"
        assert mien("run", face_clip, "--no-serve", option, "--store", store).returncode == 0
        connection = sqlite3.connect(store)
        kept[option] = connection.execute("SELECT picture FROM people").fetchone()[0]
        connection.close()

    assert kept["--pictures"].startswith(b"\xff\xd8")
    assert kept["--no-serve"] is None


def test_a_folder_with_one_broken_file_gives_the_others_and_says_which_was_broken(mien, face_clip, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(face_clip.read_bytes())
    (folder / "b.mp4").write_text("<html>404</html>")

    done = mien("run", folder, "--no-serve", "--out", tmp_path / "x.json")

    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "b.mp4" in line]
    sources = json.loads((tmp_path / "x.json").read_text())["sources"]
    assert [source["uri"] for source in sources] == [str(folder / "a.mp4")]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no file or folder"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(os.urandom(4096)), "wanted"),
        (lambda path: path.write_text("<!DOCTYPE html><html></html>"), "HTML"),
        (lambda path: path.write_text("#EXTM3U\nhttp://127.0.0.1/x.ts\n"), "playlist"),
    ],
    ids=["missing", "empty", "garbage", "a web page", "a playlist in disguise"],
)
def test_bad_input_is_one_line_and_exit_code_two(mien, tmp_path, make, says):
    make(tmp_path / "x.mp4")

    done = mien("run", tmp_path / "x.mp4", "--no-serve")

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "x.xlsx"], ".json, .csv, .parquet"),
        (["--out", "/proc/x.json"], "cannot be written"),
        (["--nets", "nonsense"], "expressions.int8"),
        (["--nets", "centerface"], "face detection"),
        (["--recorded-at", "yesterday"], "zone"),
        (["--sample-hz", "-1"], "sample_hz"),
    ],
)
def test_a_bad_option_is_one_line_before_any_work(mien, face_clip, arguments, says):
    done = mien("run", face_clip, "--no-serve", *arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_no_face_is_an_answer(mien, tmp_path):
    clip = tmp_path / "helmet.mp4"
    film(clip, read_portrait(), lambda t: View((320.0, 440.0), 1.6), seconds=1.0, size_wh=(320, 240))

    done = mien("run", clip, "--no-serve", "--out", tmp_path / "x.json")

    assert done.returncode == 0
    assert "no face was seen" in done.stdout
    assert json.loads((tmp_path / "x.json").read_text())["sources"][0]["people"] == []


def wait_for_people(store: Path, patience_s: float = 60) -> None:
    """Return when the running process has stored its first point."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
                if connection.execute("SELECT count(*) FROM people").fetchone()[0]:
                    return
        except sqlite3.Error:
            pass  # not there yet
        time.sleep(0.02)
    pytest.fail(f"nobody in {store} after {patience_s} s")


def test_interrupting_keeps_what_was_done_and_marks_the_rest(face_clip, tmp_path):
    clip, out = tmp_path / "long.mp4", tmp_path / "x.json"
    film(clip, read_portrait(), lambda t: View((230.0, 150.0), 0.9), seconds=30.0, size_wh=(320, 240))
    command = [sys.executable, "-m", "mien", "run", str(clip), "--no-serve", "--out", str(out), "--store"]
    process = subprocess.Popen([*command, str(tmp_path / "s.db")], stderr=subprocess.PIPE, text=True)
    wait_for_people(tmp_path / "s.db")
    process.send_signal(signal.SIGINT)
    _, notes = process.communicate(timeout=60)

    (source,) = json.loads(out.read_text())["sources"]
    (gap,) = source["gaps"]
    assert process.returncode == 130
    assert "kept" in notes
    assert gap["reason"] == "interrupted"
    assert gap["to"] == pytest.approx(30.0, abs=0.1)
    assert source["people"][0]["t"][-1] < gap["from"]

    resumed = subprocess.run([*command, str(tmp_path / "s.db")], capture_output=True, text=True, timeout=120)

    (source,) = json.loads(out.read_text())["sources"]
    assert resumed.returncode == 0, resumed.stderr
    assert source["gaps"] == []
    assert source["people"][0]["frame"] == list(range(750))


def test_a_full_disk_loses_nothing_and_says_so(face_clip, tmp_path):
    script = (
        f"mount -t tmpfs -o size=64k none {tmp_path} && exec {sys.executable} -m mien run {face_clip} "
        f"--no-serve --store {tmp_path}/s.db"
    )
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("a small disk needs a mount namespace: run as root")

    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_of_a_newer_version_is_left_alone(mien, face_clip, tmp_path):
    from contract.tables import APPLICATION_ID

    store = tmp_path / "s.db"
    connection = sqlite3.connect(store)
    connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 999; CREATE TABLE x (y)")
    connection.close()
    before = store.read_bytes()

    done = mien("run", face_clip, "--no-serve", "--store", store)

    assert done.returncode == 2
    assert "newer" in done.stderr
    assert store.read_bytes() == before


def test_the_truncated_half_of_a_file_is_read_and_the_rest_is_a_gap(mien, face_clip, tmp_path):
    import av

    whole = tmp_path / "whole.mp4"
    with av.open(str(face_clip)) as source, av.open(str(whole), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    half = Path(tmp_path / "half.mp4")
    half.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])

    done = mien("run", half, "--no-serve", "--out", tmp_path / "x.json")

    (source,) = json.loads((tmp_path / "x.json").read_text())["sources"]
    assert done.returncode == 0, done.stderr
    assert 10 < source["frames"] < 70
    assert [gap["reason"] for gap in source["gaps"]][-1] in {"truncated", "decode_error"}
    assert source["gaps"][-1]["to"] == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_the_dashboard(face_clip, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "mien", "run", str(face_clip), "--serve", "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    while "Ctrl-C ends it" not in "".join(said):
        said.append(process.stderr.readline())
    url = said[0].split()[-1]
    people = httpx.get(f"{url}/v1/people", timeout=10).json()["people"]
    process.send_signal(number)

    assert process.wait(timeout=20) == 0
    assert len(people) == 1
    process.stderr.close()


def test_a_name_that_looks_like_markup_is_printed_as_it_is(mien, tmp_path):
    (tmp_path / "[x264] clip.mp4").write_bytes(b"")

    done = mien("run", tmp_path / "[x264] clip.mp4", "--no-serve")

    assert done.returncode == 2
    assert "[x264] clip.mp4 is empty" in done.stderr


@pytest.mark.parametrize("name", [b"a\x1b[31m\nb.mp4", b"caf\xe9.mp4", "\u6620\u753b.mp4".encode()])
def test_a_name_drives_no_terminal_and_may_be_in_any_script(mien, face_clip, tmp_path, name):
    clip = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    clip.write_bytes(face_clip.read_bytes())

    done = mien("run", clip, "--no-serve", "--every-n", "25", "--out", tmp_path / "x.csv")

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr + (tmp_path / "x.csv").read_text()
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 3


def test_the_file_is_written_though_nobody_reads_the_table(mien, face_clip, tmp_path):
    out = tmp_path / "x.json"
    command = f"{sys.executable} -m mien run {face_clip} --out {out} > /dev/full"

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mien: the disk is full")
    assert "Traceback" not in done.stderr
    assert json.loads(out.read_text())["sources"][0]["finished"]


def test_where_the_file_cannot_be_written_the_timelines_are_kept_and_can_be_asked(mien, face_clip, tmp_path):
    disk, rest = tmp_path / "disk", tmp_path / "rest"
    disk.mkdir()
    rest.mkdir()
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a small disk needs a mount namespace: run as root")
    script = (
        f"mount -t tmpfs -o size=4k none {disk} && TMPDIR={rest} exec {sys.executable} -m mien run {face_clip} "
        f"--out {disk}/x.json"
    )

    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=60)

    (kept,) = rest.glob("mien-*/run.db")
    assert done.returncode == 2
    assert f"mien query {kept}" in done.stderr
    assert mien("query", kept, "--format", "csv").stdout.splitlines()[1].endswith(",50")


def test_a_run_without_a_store_leaves_nothing_behind_also_not_what_a_library_would_report(face_clip, tmp_path):
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    home = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "mien", "run", str(face_clip), "--no-serve"]

    done = subprocess.run(command, env=kept | home, capture_output=True, timeout=60)

    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_slip_in_an_option_leaves_no_empty_store(mien, face_clip, tmp_path):
    assert mien("run", face_clip, "--no-serve", "--nets", "nonsense", "--store", tmp_path / "s.db").returncode == 2
    assert not (tmp_path / "s.db").exists()
