"""AffectNet: pictures from the web with one of eight expressions; both layouts in which it was given out.

Source: Mollahosseini, Hasani & Mahoor, «AffectNet», IEEE Trans. Affective Computing 2019. For research by agreement.

    training.csv, validation.csv and Manually_Annotated_Images/     the whole, with boxes and 68 landmarks
    train_set/{images/0.jpg, annotations/0_exp.npy}, val_set/…      cut to 224 px, 287,651 and 3,999 pictures
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource, SourceNotFound
from train.data.layout import Example, Layout, Once, Row, columns, folder_at, present, rows

NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""The file's labels 0..7, in order. 8 none, 9 uncertain and 10 no face are left out."""

LAST_LABEL = 10
COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression")
PARTS = (range(36, 42), range(42, 48), (30,), (48,), (54,))  # of the 68 points: eyes, nose tip, mouth corners


def read(folder: Path, classes: int = 8) -> Layout:
    """AffectNet in this folder with 8 or 7 classes (contempt left out).

    Raises:
        BadSource: another layout, a label outside 0..10, a name twice, a missing file; with file and line.
    """
    folder_at(folder, "AffectNet with training.csv or train_set/")
    if (folder / "training.csv").is_file() or (folder / "validation.csv").is_file():
        examples = list(_tables(folder))
    elif (folder / "train_set").is_dir() or (folder / "val_set").is_dir():
        examples = list(_arrays(folder))
    else:
        raise SourceNotFound(f"{folder}: neither training.csv nor train_set/ is there, wanted a layout of AffectNet")
    kept = [example for example in examples if example.target[0] < classes]
    return present(Layout("AffectNet", "class", NAMES[:classes], kept))


def _tables(folder: Path) -> Iterator[Example]:
    images = folder_at(folder / "Manually_Annotated_Images", "the pictures that the csv files name")
    for file, split in (("training.csv", "train"), ("validation.csv", "validation")):
        if not (folder / file).is_file():
            continue
        table, once = rows(folder / file, delimiter=","), Once()
        places = columns(next(table), COLUMNS)
        for row in table:
            if len(row.fields) <= max(places):
                raise row.error(f"{len(row.fields)} fields, wanted {max(places) + 1} or more")
            label = row.whole(places[6], "the expression", 0, LAST_LABEL)
            name = once(row, row.fields[places[0]])
            box, points = _face(row, places)
            yield Example(f"{split}/{name}", images / name, (label,), split, box_xywh=box, landmarks=points)


def _face(row: Row, places: list[int]) -> tuple[tuple[float, float, float, float], NDArray[np.float64]]:
    """Box and five points; the 68 stand as «x;y;x;y;…»."""
    try:
        x, y, width, height = (float(row.fields[place]) for place in places[1:5])
        points = np.array([float(number) for number in row.fields[places[5]].split(";")]).reshape(68, 2)
    except ValueError as error:
        raise row.error(f"no box and 68 landmarks ({error})") from None
    return (x, y, width, height), np.stack([points[list(part)].mean(0) for part in PARTS])


def _arrays(folder: Path) -> Iterator[Example]:
    for name, split in (("train_set", "train"), ("val_set", "validation")):
        if not (folder / name).is_dir():
            continue
        labels = folder_at(folder / name / "annotations", "a file N_exp.npy for each picture")
        for picture in sorted((folder / name / "images").glob("*.jpg")):
            label = _scalar(labels / f"{picture.stem}_exp.npy")
            yield Example(f"{name}/{picture.name}", picture, (label,), split)


def _scalar(path: Path) -> int:
    """The expression in a file of one number or one text."""
    try:
        label = int(np.load(path, allow_pickle=False).item())
    except OSError as error:
        raise SourceNotFound(f"{path}: no expression for its picture ({error.strerror or error})") from error
    except ValueError as error:
        raise BadSource(f"{path}: no single number ({error})") from error
    if not 0 <= label <= LAST_LABEL:
        raise BadSource(f"{path}: the expression is {label}, wanted 0..{LAST_LABEL}")
    return label
