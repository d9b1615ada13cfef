"""Tables of many people, over both stores, as the service gives them."""

import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np
import orjson
import pytest
from arro3.io import read_parquet

from query.analysis.formula import parse_selection
from query.formats.annotations import ANNOTATIONS, Annotation, Recording
from query.store import Reader
from query.study import Keys, Whom, timeline_study
from query.study.keys import keys_of
from tests.query.conftest import Get, asking
from tests.query.stores import SECOND, Store, every_frame

SMILES = ((5.0, 7.0), (12.0, 13.0))  # seconds


def smiling(rest: float) -> np.ndarray:
    """Twenty seconds at 25 Hz of a face whose mouth is at `rest`, and that smiles twice."""
    t = np.arange(500) / 25
    values = np.zeros((500, 8), np.float32)
    smile = np.zeros(500, bool)
    for begin, end in SMILES:
        smile |= (t >= begin) & (t < end)
    values[:, 1] = rest + 0.5 * smile
    values[:, 3] = 0.1
    values[:, 0] = 1 - values.sum(axis=1)
    return values


@pytest.fixture(autouse=True)
def study(store: Store) -> None:
    for number, rest in enumerate((0.05, 0.3)):
        source = f"p0{number}_film"
        store.session(source, complete_until=20 * SECOND, looked_at=500, uri=f"{source}.mp4")
        store.person(f"{source}.s1.0", every_frame(500), smiling(rest), source=source)
    store.session("p09_film", complete_until=20 * SECOND, looked_at=500)  # nobody was seen


def rows(get: Get, path: str) -> list[dict[str, object]]:
    answer = get(path)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["rows"]
    return found


def test_episodes_over_a_face_at_rest_are_the_same_for_two_resting_faces(get: Get) -> None:
    found = rows(get, "/v1/episodes?channels=happiness&on=0.3&off=0.2&least=0.5&baseline=auto")

    assert [(row["person"], row["onset"], row["offset"]) for row in found] == [
        (f"p0{number}_film.s1.0", *smile) for number in range(2) for smile in SMILES
    ]
    np.testing.assert_allclose([row["peak"] for row in found], 0.5, atol=2e-5)
    raw = rows(get, "/v1/episodes?channels=happiness&on=0.3&off=0.2")
    assert sum(row["person"] == "p01_film.s1.0" for row in raw) == 1  # without it, one smile of twenty seconds


def test_a_summary_is_one_row_per_person_and_one_where_nobody_was(get: Get) -> None:
    first, second, nobody = rows(get, "/v1/summary?channels=happiness,x=2*happiness&on=0.3&baseline=0..5")

    assert (first["readings"], first["seen_s"], first["gap_s"]) == (500, 20.0, 0.0)
    assert first["mean_happiness"] == pytest.approx(0.5 * 3 / 20, abs=2e-5)
    assert second["mean_x"] == pytest.approx(0.5 * 3 / 10, abs=4e-5)
    assert (first["episodes_happiness"], first["episode_s_happiness"], first["per_min_happiness"]) == (2, 3.0, 6.0)
    assert (second["transitions_per_min"], first["transitions_per_min"]) == (12.0, 12.0)
    assert (nobody["source"], nobody["person"], nobody["readings"]) == ("p09_film", None, 0)


def test_who_shows_no_face_at_rest_is_left_out_by_name(store: Store, get: Get) -> None:
    held = np.zeros((500, 8), np.float32)
    held[:, 1], held[:, 0] = 0.9, 0.1
    store.session("held")
    store.person("held.s1.0", every_frame(500), held, source="held")

    body = get("/v1/summary?channels=happiness&baseline=auto").json()

    assert len(body["rows"]) == 4
    assert [row["mean_happiness"] is None for row in body["rows"]] == [True, False, False, True]
    assert [line.partition(":")[0] for line in body["left_out"]] == ["held.s1.0"]


def test_an_export_holds_everybody_once_in_every_format(get: Get) -> None:
    path = "/v1/export?every=5s&channels=happiness"
    lines = list(csv.DictReader(io.StringIO(get(path).text)))
    frame = read_parquet(io.BytesIO(get(path + "&format=parquet").content)).read_all()

    assert [(line["person"], line["t"], line["n"]) for line in lines] == [
        (f"p0{number}_film.s1.0", f"{t}", "125") for number in range(2) for t in (0.0, 5.0, 10.0, 15.0)
    ]
    np.testing.assert_allclose(frame["happiness"].to_pylist(), [float(line["happiness"]) for line in lines], atol=1e-5)
    some = rows(get, "/v1/export?format=json&person=p01_film.s1.0&person=p00_film.s1.0&every=20s")
    assert [row["person"] for row in some] == ["p01_film.s1.0", "p00_film.s1.0"]
    assert get("/v1/export?person=nobody").status_code == 404


def test_responses_to_markers_are_differences_to_the_time_before(reader: Reader) -> None:
    markers = b"t,marker\n5,film\n12,film\n100,late\n"
    answer = asking(reader, "POST", content=markers)("/v1/responses?channels=happiness&window=-2..1&step=0.5")

    found = answer.json()["rows"]
    film = [row for row in found if row["marker"] == "film"]
    assert [row["t"] for row in film] == [-2, -1.5, -1, -0.5, 0, 0.5]
    np.testing.assert_allclose([row["mean"] for row in film], [0, 0, 0, 0, 0.5, 0.5], atol=2e-5)
    assert {(row["people"], row["events"], row["asked"]) for row in film} == {(2, 4, 4)}
    assert {(row["events"], row["mean"]) for row in found if row["marker"] == "late"} == {(0, None)}


@pytest.mark.parametrize(
    "body", [b"", b"a,b\n1,2\n", b"t\nnan\n", b"t\n1e99\n", b"\xff\xfe", b"t\n" + b"1\n" * 600_000]
)
def test_markers_that_are_none_are_refused(reader: Reader, body: bytes) -> None:
    assert asking(reader, "POST", content=body)("/v1/responses").status_code == 422


def test_keys_stand_in_every_row(reader: Reader, tmp_path) -> None:
    file = tmp_path / "keys.csv"
    file.write_text("source,condition\np00_film.mp4,control\np01_film,funny\n")
    keys = keys_of(file, r"(?P<participant>p\d+)")
    with reader.snapshot() as snapshot:
        study = timeline_study(snapshot, Whom(), keys, parse_selection("fear"), 20 * SECOND)
        names = [column.name for column in study.columns]
        lines = [
            dict(zip(names, line, strict=True)) for table in study.tables for line in zip(*table.plain(), strict=True)
        ]

    assert [(line["participant"], line["condition"]) for line in lines] == [("p00", "control"), ("p01", "funny")]
    assert isinstance(keys, Keys)


EPISODES = [
    Annotation("p · smile", 1.0, 2.5, 'smile "0.9" <&>'),
    Annotation("q · smile", 0.0, 0.4, "smile 0.7"),
    Annotation("p · smile", 3.0, 3.0, "short"),
]
RECORDING = Recording("film.mp4", 10.0, 25.0)


def test_an_elan_document_is_well_formed_and_its_times_rise() -> None:
    root = ElementTree.fromstring(ANNOTATIONS["eaf"](RECORDING, EPISODES))  # noqa: S314 - our own
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    seen = [
        (tier.get("TIER_ID"), slots[one.get("TIME_SLOT_REF1")], slots[one.get("TIME_SLOT_REF2")], one[0].text)
        for tier in root.iter("TIER")
        for one in tier.iter("ALIGNABLE_ANNOTATION")
    ]

    assert list(slots.values()) == sorted(slots.values())
    assert seen == [
        ("p · smile", 1000, 2500, 'smile "0.9" <&>'),
        ("p · smile", 3000, 3001, "short"),
        ("q · smile", 0, 400, "smile 0.7"),
    ]


def test_subtitles_are_by_time_and_tables_by_row() -> None:
    vtt, srt = ANNOTATIONS["vtt"](RECORDING, EPISODES), ANNOTATIONS["srt"](RECORDING, EPISODES)
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.400\nq · smile: smile 0.7\n")
    assert "&lt;&amp;&gt;" not in vtt.splitlines()[0]
    assert srt.startswith("1\n00:00:00,000 --> 00:00:00,400\n")
    table = [line.split("\t") for line in ANNOTATIONS["boris.tsv"](RECORDING, EPISODES).splitlines()]
    assert {len(line) for line in table} == {14}
    assert table[2][5:7] + table[2][10:] == ["p", "smile", "1.000", "2.500", "1.500", "STATE"]


def test_a_textgrid_has_no_holes() -> None:
    text = ANNOTATIONS["TextGrid"](RECORDING, EPISODES)
    first = text.partition("item [2]")[0].partition("item [1]")[2]
    lows, highs = re.findall(r"    xmin = (\S+)", first)[1:], re.findall(r"    xmax = (\S+)", first)[1:]
    assert (lows[0], highs[-1], lows[1:]) == ("0.000000", "10.000000", highs[:-1])
    assert 'text = "smile ""0.9"" <&>"' in first


def test_a_gibibyte_would_not_be_held(store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows leave page by page: no more than one page of one person is asked for before the one before is taken."""
    from query.study import timelines

    taken: list[int] = []
    monkeypatch.setattr(timelines, "ROWS_AT_ONCE", 100)
    with reader.snapshot() as snapshot:
        study = timeline_study(snapshot, Whom(), keys_of(None, None), timelines.Selection(("fear",)), None)
        tables: Iterator = iter(study.tables)  # type: ignore[type-arg]
        taken += [len(next(tables)) for _ in range(10)]
    assert taken == [100] * 10


def test_the_document_is_json_to_the_last_value(get: Get) -> None:
    assert orjson.loads(get("/v1/summary").content)["settings"] == {"baseline": None, "formulas": {}}
