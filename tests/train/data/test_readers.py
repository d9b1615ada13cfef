"""Each reader on a tiny copy of the official layout, and on what goes wrong with one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from contract.errors import BadRequest, BadSource, MienError
from train.data import KINDS, kind_of, read
from train.data.layout import MISSING, Layout
from train.data.votes import argmax, majority, shares

Maker = Callable[[Path], None]


def picture(path: Path, seed: int = 0, edge: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (edge, edge, 3), np.uint8))


def ferplus(folder: Path) -> None:
    random = np.random.default_rng(0)
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    pixels = [" ".join(map(str, random.integers(0, 256, 48 * 48))) for _ in range(4)]
    pixels.append(pixels[2])  # a training picture that is the validation picture
    usages = ["Training", "Training", "PublicTest", "PrivateTest", "Training"]
    votes = [
        "4,0,0,1,3,2,0,0,0,0",
        "0,10,0,0,0,0,0,0,0,0",
        "5,0,0,5,0,0,0,0,0,0",
        "0,0,0,0,0,0,0,0,10,0",
        "9,0,0,0,0,0,0,0,0,1",
    ]
    folder.mkdir(parents=True)
    lines = ["emotion,pixels,Usage", *(f"0,{each},{usage}" for each, usage in zip(pixels, usages, strict=True))]
    (folder / "fer2013.csv").write_text("\n".join(lines) + "\n")
    lines = [
        head,
        *(f"{usage},fer{n:07d}.png,{each}" for n, (usage, each) in enumerate(zip(usages, votes, strict=True))),
    ]
    (folder / "fer2013new.csv").write_text("\n".join(lines) + "\n")


def rafdb(folder: Path) -> None:
    labels = {"train_00001": 5, "train_00002": 7, "test_0001": 1}
    for name in labels:
        picture(folder / "Image" / "aligned" / f"{name}_aligned.jpg", edge=100)
        picture(folder / "Image" / "original" / f"{name}.jpg", edge=120)
    (folder / "EmoLabel").mkdir()
    text = "".join(f"{name}.jpg {label}\n" for name, label in labels.items())
    (folder / "EmoLabel" / "list_patition_label.txt").write_text(text)


def affectnet_tables(folder: Path) -> None:
    points = ";".join(f"{10 + i};{20 + i}" for i in range(68))
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    for file, labels in (("training.csv", (0, 7, 8)), ("validation.csv", (3,))):
        lines = [head]
        for number, label in enumerate(labels):
            name = f"{number}/{file[:3]}{number}.jpg"
            picture(folder / "Manually_Annotated_Images" / name)
            lines.append(f"{name},1,2,60,61,{points},{label},0.1,-0.2")
        (folder / file).write_text("\n".join(lines) + "\n")


def affectnet_arrays(folder: Path) -> None:
    for split, labels in (("train_set", (6, 7)), ("val_set", (2,))):
        (folder / split / "annotations").mkdir(parents=True)
        for number, label in enumerate(labels):
            picture(folder / split / "images" / f"{number}.jpg", edge=224)
            np.save(folder / split / "annotations" / f"{number}_exp.npy", np.array(str(label)))


def disfa(folder: Path) -> None:
    for subject in ("SN002", "SN003"):
        for frame in range(2):
            picture(folder / "img" / subject / f"{frame}.png")
        labels = folder / "ActionUnit_Labels" / subject
        labels.mkdir(parents=True)
        for unit in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25):  # AU26 is missing
            (labels / f"{subject}_au{unit}.txt").write_text(f"1,{unit % 6}\n2,0\n")


def disfa_plus(folder: Path) -> None:
    for subject in ("SN001", "SN025"):
        labels = folder / "Labels" / subject / "A1_AU1_TrailNo_1"
        labels.mkdir(parents=True)
        for frame in range(2):
            picture(folder / "Images" / subject / labels.name / f"{frame:03d}.jpg")
        for unit in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
            (labels / f"AU{unit}.txt").write_text("frame intensity of the unit\n000.jpg\t0\n001.jpg\t3\n")


def bp4d(folder: Path) -> None:
    (folder / "list").mkdir(parents=True)
    for fold, subject in ((1, "F007"), (2, "M011"), (3, "F001")):
        names = [f"{subject}/T1/{number}.jpg" for number in (2440, 2441)]
        for name in names:
            picture(folder / "img" / name)
        (folder / "list" / f"BP4D_test_img_path_fold{fold}.txt").write_text("\n".join(names) + "\n")
        lines = ["1 0 0 0 0 0 1 0 0 0 0 9", "0 " * 12]
        (folder / "list" / f"BP4D_test_label_fold{fold}.txt").write_text("\n".join(lines) + "\n")


MAKERS: dict[str, Maker] = {
    "ferplus": ferplus,
    "rafdb": rafdb,
    "affectnet8": affectnet_tables,
    "disfa": disfa,
    "disfa+": disfa_plus,
    "bp4d": bp4d,
}


def made(kind: str, folder: Path) -> Layout:
    MAKERS[kind](folder)
    return read(kind, folder)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_layout_tells_its_kind(kind: str, tmp_path: Path) -> None:
    MAKERS[kind](tmp_path / "set")
    assert kind_of(tmp_path / "set") == kind


def test_ferplus_tables_and_the_leaking_copy(tmp_path: Path) -> None:
    layout = made("ferplus", tmp_path / "set")
    assert [each.split for each in layout.examples] == ["train", "train", "validation", "test", "leaking"]
    assert [each.key for each in layout.examples] == ["00000", "00001", "00002", "00003", "00004"]
    votes = np.array([each.target for each in layout.examples], np.uint8)
    # single votes are outliers: 4, 3, 2 are kept, so neutral wins without a majority; a tie has none; «unknown» wins
    assert majority(votes).tolist() == [-1, 1, -1, -1, 0]
    assert argmax(votes).tolist() == [0, 1, 0, -1, 0]
    assert shares(votes)[0].tolist() == pytest.approx([4 / 9, 0, 0, 0, 3 / 9, 2 / 9, 0, 0])


def test_ferplus_leaves_out_the_rows_that_the_file_names(tmp_path: Path) -> None:
    ferplus(tmp_path / "set")
    (tmp_path / "set" / "leaking_train_rows.txt").write_text("1\n")
    assert [each.split for each in read("ferplus", tmp_path / "set").examples].count("leaking") == 2


def test_rafdb_both_ways_and_its_names(tmp_path: Path) -> None:
    layout = made("rafdb", tmp_path / "set")
    assert [(each.split, layout.names[each.target[0]]) for each in layout.examples] == [
        ("train", "sadness"),
        ("train", "neutral"),
        ("test", "surprise"),
    ]
    assert str(layout.examples[0].picture).endswith("train_00001_aligned.jpg")
    original = read("rafdb-original", tmp_path / "set")
    assert str(original.examples[0].picture).endswith("original/train_00001.jpg")
    shutil.rmtree(tmp_path / "set" / "Image" / "aligned")
    assert str(read("rafdb", tmp_path / "set").examples[0].picture).endswith("original/train_00001.jpg")


def test_affectnet_tables_leave_out_what_is_no_expression(tmp_path: Path) -> None:
    layout = made("affectnet8", tmp_path / "set")
    assert [(each.split, each.target) for each in layout.examples] == [
        ("train", (0,)),
        ("train", (7,)),
        ("validation", (3,)),
    ]
    assert layout.examples[0].box_xywh == (1, 2, 60, 61)
    # 68 points at (10 + i, 20 + i): the left eye is the mean of 36..41
    assert layout.examples[0].landmarks is not None
    assert layout.examples[0].landmarks[0].tolist() == [48.5, 58.5]
    assert layout.examples[0].landmarks[2].tolist() == [40, 50]
    assert len(read("affectnet7", tmp_path / "set").examples) == 2


def test_affectnet_arrays(tmp_path: Path) -> None:
    affectnet_arrays(tmp_path / "set")
    layout = read("affectnet8", tmp_path / "set")
    assert [(each.key, each.target[0]) for each in layout.examples] == [
        ("train_set/0.jpg", 6),
        ("train_set/1.jpg", 7),
        ("val_set/0.jpg", 2),
    ]
    assert kind_of(tmp_path / "set") == "affectnet8"


def test_disfa_parts_and_a_unit_that_is_missing(tmp_path: Path) -> None:
    layout = made("disfa", tmp_path / "set")
    first = layout.examples[0]
    assert (first.key, first.split, first.subject) == ("SN002/0.png", "part1", "SN002")
    assert first.target == (1, 2, 4, 5, 0, 3, 0, 3, 5, 2, 1, MISSING)
    assert {each.split for each in layout.examples} == {"part1", "part3"}


def test_disfa_plus_has_its_published_split_and_matches_names(tmp_path: Path) -> None:
    layout = made("disfa+", tmp_path / "set")
    assert [(each.split, each.target[0]) for each in layout.examples] == [
        ("train", 0),
        ("train", 3),
        ("test", 0),
        ("test", 3),
    ]


def test_bp4d_folds_and_unseen_units(tmp_path: Path) -> None:
    layout = made("bp4d", tmp_path / "set")
    assert {each.subject: each.split for each in layout.examples} == {"F001": "part1", "M011": "part2", "F007": "part3"}
    assert layout.examples[0].target == (1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, MISSING)


def test_bp4d_in_the_coding_of_drml_has_unknowns_at_zero(tmp_path: Path) -> None:
    bp4d(tmp_path / "set")
    (tmp_path / "set/list/BP4D_test_label_fold3.txt").write_text("1 -1" + " 0" * 10 + "\n" + "-1 " * 12 + "\n")
    first = read("bp4d", tmp_path / "set").examples[0]
    assert first.target == (1, 0, *[MISSING] * 10)


def replaced(file: str, old: str, new: str) -> Maker:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def gone(file: str) -> Maker:
    def change(folder: Path) -> None:
        (shutil.rmtree if (folder / file).is_dir() else Path.unlink)(folder / file)

    return change


LIST = "EmoLabel/list_patition_label.txt"
TRIAL = "Labels/SN001/A1_AU1_TrailNo_1/AU4.txt"
FAULTS = [
    ("ferplus", replaced("fer2013new.csv", "0001.png,0,10", "1.png,0,11"), "fer2013new.csv:3: happiness is 11"),
    ("ferplus", replaced("fer2013new.csv", "PublicTest", "Training"), "fer2013.csv:4: usage 'PublicTest'"),
    ("ferplus", replaced("fer2013new.csv", "contempt,", ""), "fer2013new.csv:1: no column 'contempt'"),
    ("ferplus", replaced("fer2013.csv", "Training\n", "Training\n0,1 2,Training\n"), "csv:3: 2 pixels, wanted 2304"),
    ("ferplus", replaced("fer2013.csv", "0,", "0,999 "), "fer2013.csv:2: 2305 pixels"),
    ("ferplus", gone("fer2013.csv"), "fer2013.csv: cannot be read"),
    ("rafdb", replaced(LIST, " 5", " 8"), "list_patition_label.txt:1: the label is 8, wanted 1..7"),
    ("rafdb", replaced(LIST, " 5", " happy"), ":1: the label is 'happy', wanted a whole number 1..7"),
    ("rafdb", replaced(LIST, "train_00002", "train_00001"), ":2: train_00001.jpg stands in line 1 already"),
    ("rafdb", replaced(LIST, "test_0001", "valid_0001"), ":3: picture 'valid_0001.jpg'"),
    ("rafdb", gone("Image/aligned/train_00002_aligned.jpg"), "train_00002_aligned.jpg: no such picture (1 of 3"),
    ("rafdb", gone("Image"), "Image: neither aligned nor original"),
    ("affectnet8", replaced("training.csv", ",7,0.1", ",11,0.1"), "training.csv:3: the expression is 11, wanted 0..10"),
    ("affectnet8", replaced("training.csv", "10;20", "10"), "training.csv:2: no box and 68 landmarks"),
    ("affectnet8", gone("Manually_Annotated_Images"), "Manually_Annotated_Images: no such folder"),
    ("disfa", replaced("ActionUnit_Labels/SN002/SN002_au2.txt", "1,2", "1,6"), "SN002_au2.txt:1: the intensity is 6"),
    ("disfa", replaced("ActionUnit_Labels/SN002/SN002_au2.txt", "2,0", "1,0"), "SN002_au2.txt:2: 1 stands in line 1"),
    ("disfa", gone("img/SN003/1.png"), "SN003/1.png: no such picture (1 of 4"),
    ("disfa", gone("img"), "none of img/, Images/ and frames/"),
    ("disfa+", replaced(TRIAL, "001.jpg\t3", "one.jpg\t3"), "AU4.txt:3: frame 'one.jpg'"),
    ("disfa+", replaced(TRIAL, "001.jpg\t3", "001.jpg\t-1"), "AU4.txt:3: the intensity is -1"),
    ("bp4d", replaced("list/BP4D_test_label_fold1.txt", "1 0", "2 0"), "label_fold1.txt:1: '2 0 0"),
    ("bp4d", replaced("list/BP4D_test_img_path_fold1.txt", "F007/T1/2441.jpg\n", ""), "2 lines for 1 pictures"),
    ("bp4d", replaced("list/BP4D_test_img_path_fold1.txt", "2441", "2440"), "stands in line 1 already"),
    ("bp4d", gone("list"), "list: no such folder"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fault", "wanted"), FAULTS, ids=[f"{kind}: {wanted}" for kind, _, wanted in FAULTS])
def test_a_fault_is_one_error_that_says_where(kind: str, fault: Maker, wanted: str, tmp_path: Path) -> None:
    MAKERS[kind](tmp_path / "set")
    fault(tmp_path / "set")

    with pytest.raises(BadSource) as caught:
        read(kind, tmp_path / "set")

    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_folder_is_no_data_set(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BadSource):
        read(kind, tmp_path)
    with pytest.raises(BadSource, match="no known layout"):
        kind_of(tmp_path)


def test_an_unknown_kind_lists_what_there_is() -> None:
    with pytest.raises(BadRequest, match=r"ferplus, rafdb, .*bp4d"):
        read("fer", Path())


def test_a_pickled_array_is_not_opened(tmp_path: Path) -> None:
    affectnet_arrays(tmp_path / "set")
    np.save(tmp_path / "set/val_set/annotations/0_exp.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    with pytest.raises(MienError, match=r"0_exp.npy: no single number"):
        read("affectnet8", tmp_path / "set")
    np.savez(tmp_path / "x.npz", images=np.array([{}], dtype=object), votes=1, fer_row=1)
    with pytest.raises(BadSource, match="no FER"):
        read("ferplus", tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(BadSource, match="no FER"):
        read("ferplus", tmp_path / "y.npz")


def test_the_shared_files_are_the_official_ones(shared_data: Path) -> None:
    layout = read("ferplus", shared_data / "ferplus")
    splits = np.array([each.split for each in layout.examples])
    votes = np.array([each.target for each in layout.examples], np.uint8)
    assert {name: int((splits == name).sum()) for name in set(splits.tolist())} == {
        "train": 27_866,
        "leaking": 692,
        "validation": 3_579,
    }
    assert int((majority(votes[splits == "validation"]) >= 0).sum()) == 3_199  # the paper's
