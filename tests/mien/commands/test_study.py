"""The commands of a study, on a store as a run writes it."""

import csv
import io

import pytest
from arro3.io import read_parquet

from tests.query.stores import SECOND, StoreFile, every_frame
from tests.query.test_studies import smiling


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two clips of two people who smile twice."""
    store = StoreFile(tmp_path_factory.mktemp("study") / "study.db")
    for number, rest in enumerate((0.05, 0.3)):
        source = f"p0{number}_film"
        store.session(source, complete_until=20 * SECOND, looked_at=500, uri=f"{source}.mp4")
        store.person(f"{source}.s1.0", every_frame(500), smiling(rest), source=source)
    store.close()
    return store.path


def test_who_smiled_when_against_their_own_neutral_face_is_one_command(mien, study):
    done = mien(
        "episodes", study, "--channels", "happiness", "--baseline", "auto", "--on", "0.3", "--off", "0.2",
        "--key-pattern", r"(?P<participant>p\d+)",
    )  # fmt: skip

    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(line["participant"], line["onset"], line["offset"]) for line in lines] == [
        ("p00", "5.0", "7.0"), ("p00", "12.0", "13.0"), ("p01", "5.0", "7.0"), ("p01", "12.0", "13.0"),
    ]  # fmt: skip


def test_everybody_goes_into_one_file(mien, study, tmp_path):
    out = tmp_path / "study.parquet"

    done = mien("query", study, "--all", "--every", "10s", "--channels", "happiness", "--out", out)

    frame = read_parquet(str(out)).read_all()
    assert done.stderr.splitlines() == [f"written: {out}"]
    assert frame["person"].to_pylist() == ["p00_film.s1.0"] * 2 + ["p01_film.s1.0"] * 2
    assert frame["t"].to_pylist() == [0.0, 10.0] * 2


def test_a_summary_counts_episodes(mien, study):
    line, *_ = csv.DictReader(io.StringIO(mien("summary", study, "--on", "0.5", "--channels", "happiness").stdout))
    assert (line["episodes_happiness"], line["per_min_happiness"]) == ("2", "6.0")


@pytest.mark.parametrize("ending", ["eaf", "vtt", "srt", "TextGrid", "boris.tsv"])
def test_episodes_of_a_recording_go_to_other_tools(mien, study, tmp_path, ending):
    out = tmp_path / f"clip.{ending}"
    done = mien("episodes", study, "--source", "p00_film", "--channels", "happiness", "--on", "0.5", "--out", out)
    assert (done.returncode, "happiness 0.55" in out.read_text()) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["query", "STORE", "--all", "--out", "x.doc"], "wanted .csv, .ndjson, .parquet, .arrow"),
        (["query", "STORE", "--all", "--from", "1"], "--all is everybody"),
        (["query", "STORE", "--out", "x.csv"], "go with --all"),
        (["episodes", "STORE", "--channels", "x=AU12;1"], "formula"),
        (["episodes", "STORE", "--on", "0.2", "--off", "0.4"], "off ≤ on"),
        (["episodes", "STORE", "--out", "x.eaf"], "wanted --source"),
        (["summary", "STORE", "--keys", "missing.csv"], "cannot be read"),
        (["summary", "STORE", "--key-pattern", "("], "--key-pattern"),
        (["responses", "STORE", "--markers", "missing.csv"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line(mien, study, tmp_path, arguments, says):
    done = mien(*(study if word == "STORE" else word for word in arguments))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert says in done.stderr
