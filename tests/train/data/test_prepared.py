"""Prepared sets: cut like live crops, resumed, packed, refused when damaged."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from contract.errors import BadSource, MienError
from ingest.faces.align import cut
from train.data import landmarks, prepare, read
from train.data.faceset import FaceSet, filtered, is_set, open_set, pack, unfiltered
from train.data.labels import labels_of
from train.data.layout import Example, Layout
from train.data.prepare import Plan

POINTS = np.array([(15, 18), (33, 18), (24, 27), (17, 36), (31, 36)], np.float32)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Seven grey pictures; the detector finds one set of points in all but the last."""
    random = np.random.default_rng(0)
    examples = [
        Example(f"v/{n}", random.integers(0, 255, (48, 48), np.uint8), (n % 2,), "train" if n < 5 else "test")
        for n in range(7)
    ]
    lost = np.asarray(examples[6].picture)

    def find(picture: np.ndarray, *_: object) -> np.ndarray:
        return np.full((5, 2), np.nan, np.float32) if picture is lost else POINTS + picture[0, 0] / 255

    monkeypatch.setattr(prepare, "find", find)
    monkeypatch.setattr(prepare, "SHARD_BYTES", 3 * 32 * 32)  # three crops each
    return Layout("patterns", "class", ("neutral", "anger"), examples)


def test_crops_are_cut_as_live_ones_are(layout: Layout, tmp_path: Path) -> None:
    manifest = prepare.prepare(layout, tmp_path / "set", Plan(edge=32))
    faces = open_set(tmp_path / "set")

    assert manifest["splits"] == {"train": 5, "test": 2}
    assert [each["rows"] for each in manifest["shards"]] == [3, 3, 1]
    picture = np.asarray(layout.examples[4].picture)
    live = cut(np.repeat(picture[..., None], 3, axis=2), POINTS + picture[0, 0] / 255, 32)
    assert np.array_equal(faces.pictures.take(np.array([4, 0]))[0, ..., 0], live[..., 0])
    assert faces.keys.tolist() == [each.key for each in layout.examples]
    assert faces.targets[:, 0].tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert faces.face_px[0] == pytest.approx(18 / (0.6378 - 0.3609), rel=0.1)  # eyes 18 px apart


def test_whole_pictures_keep_where_the_crop_lies(layout: Layout, tmp_path: Path) -> None:
    from train.measure.evaluate import crops

    prepare.prepare(layout, tmp_path / "cut", Plan(edge=32))
    prepare.prepare(layout, tmp_path / "whole", Plan(edge=32, whole=True))
    one, other = open_set(tmp_path / "cut"), open_set(tmp_path / "whole")

    rows = np.arange(7)
    assert np.array_equal(other.pictures.take(rows)[3, ..., 0], np.asarray(layout.examples[3].picture))
    difference = np.abs(crops(one, rows, 32).astype(int) - crops(other, rows, 32))
    assert difference.max() <= 1  # the matrix is kept in float32


def test_a_picture_without_a_face_gets_the_median_geometry_where_pictures_are_tight(
    layout: Layout, tmp_path: Path
) -> None:
    prepare.prepare(layout, tmp_path / "set", Plan(edge=32, whole=True))
    maps = open_set(tmp_path / "set").to_picture
    assert maps is not None
    assert np.median(maps[:6], axis=0) == pytest.approx(maps[6], abs=0.05)


def test_a_large_picture_without_a_face_is_left_out(layout: Layout, tmp_path: Path) -> None:
    lost = np.asarray(layout.examples[6].picture)
    large = [
        dataclasses.replace(each, picture=lost if each.picture is lost else np.tile(np.asarray(each.picture), (6, 6)))
        for each in layout.examples
    ]
    manifest = prepare.prepare(dataclasses.replace(layout, examples=large), tmp_path / "set", Plan(edge=32))
    assert (manifest["count"], manifest["left_out"]) == (6, 1)


def test_an_interrupted_run_goes_on_and_ends_the_same(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare.prepare(layout, tmp_path / "whole", Plan(edge=32))
    looks: list[int] = []
    find = prepare.find

    def counting(*arguments: object) -> object:
        looks.append(1)
        if len(looks) == 4:
            raise KeyboardInterrupt
        return find(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, "find", counting)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(layout, tmp_path / "set", Plan(edge=32))
    assert not is_set(tmp_path / "set")
    parts = prepare.prepare(layout, tmp_path / "set", Plan(edge=32))

    assert len(looks) == 4 + 4  # the first three were not looked at again
    assert parts == whole
    (tmp_path / "set" / "00001.npy").unlink()
    assert prepare.prepare(layout, tmp_path / "set", Plan(edge=32)) == whole
    assert len(looks) == 8


def test_a_folder_of_something_else_is_not_written_into(layout: Layout, tmp_path: Path) -> None:
    prepare.prepare(layout, tmp_path / "set", Plan(edge=32))
    with pytest.raises(BadSource, match="holds another set or other options"):
        prepare.prepare(layout, tmp_path / "set", Plan(edge=40))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(BadSource, match="is not empty"):
        prepare.prepare(layout, tmp_path / "mine", Plan(edge=32))


def test_a_broken_picture_is_named(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 torn")
    broken = [dataclasses.replace(layout.examples[0], picture=tmp_path / "a.jpg")]
    with pytest.raises(MienError, match=r"a\.jpg: cannot be opened as a picture"):
        prepare.prepare(dataclasses.replace(layout, examples=broken), tmp_path / "set", Plan(edge=32))


def test_a_damaged_set_is_refused(layout: Layout, tmp_path: Path) -> None:
    prepare.prepare(layout, tmp_path / "set", Plan(edge=32))
    path = tmp_path / "set" / "00000.npy"
    body = path.read_bytes()
    path.write_bytes(body[:100])
    with pytest.raises(BadSource, match=r"00000.npy: a shard is missing or damaged"):
        open_set(tmp_path / "set")
    manifest = tmp_path / "set" / "manifest.json"
    manifest.write_text(json.dumps({"schema": "mien.set/9"}))
    with pytest.raises(BadSource, match=r"schema 'mien.set/9', wanted mien.set/1"):
        open_set(tmp_path / "set")
    with pytest.raises(BadSource, match="no prepared set"):
        open_set(tmp_path)


def test_a_packed_set_is_the_same_in_one_file(layout: Layout, tmp_path: Path) -> None:
    prepare.prepare(layout, tmp_path / "set", Plan(edge=32, whole=True))
    faces = open_set(tmp_path / "set")

    pack(faces, tmp_path / "set.npz", ["train"])
    packed = open_set(tmp_path / "set.npz")

    rows = np.arange(5)
    assert is_set(tmp_path / "set.npz")
    assert np.array_equal(packed.pictures.take(rows), faces.pictures.take(rows))
    assert np.array_equal(packed.matrices(rows), faces.matrices(rows))
    assert packed.keys.tolist() == faces.keys[:5].tolist()
    with pytest.raises(BadSource, match="no split 'test'; there is train 5"):
        packed.rows(["test"])


def test_filtering_is_undone_exactly() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), np.uint8)
    assert np.array_equal(unfiltered(filtered(pictures)), pictures)


def test_filtering_predicts_like_png() -> None:
    """The left neighbour 20, above 30, corner 25: 20 + 30 − 25 = 25, nearest is the corner."""
    pictures = np.array([[25, 30], [20, 77]], np.uint8)[None, ..., None]
    assert filtered(pictures)[0, ..., 0].tolist() == [[25, 5], [251, 52]]


def faces_of(kind: str, names: tuple[str, ...], targets: list[list[int]]) -> FaceSet:
    from train.data.faceset import Shelf

    count = len(targets)
    words, numbers = np.full(count, "x"), np.zeros(count, np.float32)
    shelf = Shelf([np.zeros((count, 8, 8, 1), np.uint8)])
    return FaceSet(
        "s", kind, names, shelf, np.array(targets, np.uint8), words, words, words, numbers, numbers, None, ""
    )


def test_classes_come_in_the_order_of_the_contract() -> None:
    labels = labels_of(faces_of("class", ("surprise", "fear", "neutral"), [[0], [2], [255]]), "class")
    assert labels.names == ("neutral", "surprise", "fear")
    assert labels.hard.tolist() == [1, 0, -1]
    assert labels.soft.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert labels.usable.tolist() == [True, True, False]


def test_units_count_from_an_intensity_and_missing_ones_say_nothing() -> None:
    labels = labels_of(faces_of("intensity", ("AU1", "AU2"), [[1, 2], [255, 5], [255, 255]]), "units", active_from=2)
    assert labels.soft.tolist() == [[-1, 1], [0, 1], [0, 0]]
    assert labels.hard.tolist() == [[0, 1], [-1, 1], [-1, -1]]
    assert labels.usable.tolist() == [True, True, False]


def test_landmarks_of_a_real_portrait_are_found_at_every_size(shared_data: Path) -> None:
    from ingest.faces.detect import CenterFace

    path = sorted((shared_data / "faces" / "london").glob("*.jpg"))[0]
    portrait = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    detector = CenterFace()
    large = landmarks.find(portrait, detector)
    half = landmarks.find(cv2.resize(portrait, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), detector)
    eyes = float(np.linalg.norm(large[1] - large[0]))
    assert np.abs(large - 2 * half).max() < 0.1 * eyes
    left, top = (large.min(0) - 0.8 * eyes).astype(int)
    right, bottom = (large.max(0) + 0.8 * eyes).astype(int)
    tight = cv2.resize(portrait[max(top, 0) : bottom, max(left, 0) : right], (48, 48), interpolation=cv2.INTER_AREA)
    corner = np.array([max(left, 0), max(top, 0)])
    again = landmarks.find(tight, detector) * (np.array([right, bottom]) - corner) / 48 + corner
    assert np.abs(again - large).max() < 0.15 * eyes


def test_ferplus_crops_are_those_that_the_first_weights_were_made_with(shared_data: Path, tmp_path: Path) -> None:
    from ingest.faces.detect import CenterFace
    from train.data.ferplus import cut_crops, find_landmarks, read_npz
    from train.measure.evaluate import crops

    layout = read("ferplus", shared_data / "ferplus" / "validation.npz")
    layout = dataclasses.replace(layout, examples=layout.examples[:24])
    prepare.prepare(layout, tmp_path / "set", Plan(whole=True))
    images = read_npz(shared_data / "ferplus" / "validation.npz").images[:24]
    wanted = cut_crops(images, find_landmarks(images, CenterFace()), 112)
    seen = crops(open_set(tmp_path / "set"), np.arange(24), 112)
    assert np.abs(seen.astype(int) - wanted).max() <= 1
