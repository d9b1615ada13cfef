"""Photographs of faces at rest, with the points that a mesh is fitted to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource, SourceNotFound
from ingest.faces.detect import CenterFace
from train.data.synthetic.fit import Points
from train.data.synthetic.mesh import LANDMARKS

TEMPLATE_OF_68: dict[int, tuple[int, ...]] = {
    8: (129,), 17: (71,), 18: (72, 83), 19: (73, 74, 83, 84), 20: (74, 75, 84, 76), 21: (75, 76),
    22: (77, 78), 23: (78, 79, 85, 77), 24: (79, 80, 85, 86), 25: (81, 86), 26: (82,),
    27: (50, 51, 56, 57), 28: (52, 58), 29: (53, 59), 30: (54, 60), 31: (64,), 33: (55,), 35: (69,),
    36: (18,), 37: (19,), 38: (21,), 39: (22,), 40: (30,), 41: (28,),
    42: (23,), 43: (24,), 44: (26,), 45: (27,), 46: (33,), 47: (31,),
    48: (87,), 49: (88,), 50: (89,), 51: (90,), 52: (91,), 53: (92,), 54: (93,),
    55: (108,), 56: (107,), 57: (106,), 58: (105,), 59: (104,),
    61: (95,), 62: (96,), 63: (97,), 65: (102,), 66: (101,), 67: (100,),
}  # fmt: skip
"""Which of WebMorph's 189 points (DeBruine's «FRL» template), averaged, are a point of iBUG's 68."""

EYES = (range(36, 42), range(42, 48))
NOSE_TIP = 30
EYE_DISTANCE = 100.0  # px to which a large portrait is shrunk: twice that of the largest crop
SMALL = 4  # times a 48-px picture is enlarged
AT_REST = 8  # of ten taggers call it neutral
MOST_YAW_DEG = 25.0
JUDGED = "london/"  # these people are what the result is judged on: none of them is learnt from
VALIDATION = 5  # every fifth portrait of the sharp ones, and every tenth of the small ones, is for validation

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A face at rest."""

    key: str
    split: str
    picture: Image  # (H, W, 3) u8 RGB
    points: Points
    five_xy: NDArray[np.float32]  # (5, 2) px, as the detector sees them
    is_small: bool = False  # 48 px, enlarged


def sharp(folder: Path) -> list[Portrait]:
    """The portraits with 189 points in a folder of faces, but those of people who are judged on.

    Raises:
        BadSource: the file of points or a picture is missing or something else.
    """
    path = folder / "landmarks189.npz"
    if not path.is_file():
        raise SourceNotFound(f"{path}: no such file; wanted portraits with points")
    try:
        with np.load(path, allow_pickle=False) as fields:
            files, points = [str(name) for name in fields["files"]], fields["points"].astype(np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise BadSource(f"{path}: no npz of files and points ({error})") from error
    if points.shape != (len(files), 189, 2):
        raise BadSource(f"{path}: points are {points.shape}, wanted ({len(files)}, 189, 2)")
    chosen = [n for n, name in enumerate(files) if not name.startswith(JUDGED)]
    detector = CenterFace()
    found = [_sharp(folder, files[n], points[n], place, detector) for place, n in enumerate(chosen)]
    return [portrait for portrait in found if portrait is not None]


def _sharp(folder: Path, name: str, points: NDArray[np.float64], place: int, detector: CenterFace) -> Portrait | None:
    picture = cv2.imread(str(folder / name), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise SourceNotFound(f"{folder / name}: no such picture")
    seen = _of_68(points)
    eyes = [seen[:, eye].mean(1) for eye in EYES]
    scale = min(1.0, EYE_DISTANCE / float(np.linalg.norm(eyes[1] - eyes[0])))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = detector(np.asarray(small, np.uint8))
    if not faces:
        return None
    split = "validation" if place % VALIDATION == VALIDATION - 1 else "train"
    landmarks = np.array(sorted(TEMPLATE_OF_68))
    noise = 0.02 * EYE_DISTANCE
    shown = Points(seen[0, landmarks] * scale, np.eye(LANDMARKS)[landmarks], np.ones(len(landmarks)), 0.1, noise)
    return Portrait(Path(name).stem, split, np.asarray(small, np.uint8), shown, faces[0].landmarks)


def _of_68(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1, 68, 2): the points of iBUG's order; those that are not among the 189 are zero."""
    seen = np.zeros((1, LANDMARKS, 2))
    for landmark, parts in TEMPLATE_OF_68.items():
        seen[0, landmark] = points[list(parts)].mean(0)
    return seen


BIAS = np.array([(-0.027, 0.038), (0.027, -0.002), (-0.012, 0.123), (-0.085, -0.022), (0.016, -0.058)])
"""Where CenterFace sees the five points, less where the mesh has them, in eye distances: means of the sharp ones."""

FIVE = np.stack([np.isin(np.arange(LANDMARKS), list(part)) / len(part) for part in (*EYES, (NOSE_TIP,), (48,), (54,))])
"""(5, 68): the crop's five points as means of iBUG's."""


def small(path: Path, most: int, seed: int) -> Iterator[Portrait]:
    """Up to `most` faces of FER+'s training split at rest, found by the detector; the same ones for a seed.

    Raises:
        BadSource: no FER+ there.
    """
    from train.data.ferplus import read
    from train.data.landmarks import find

    rest = [each for each in read(path).examples if each.split == "train" and each.target[0] >= AT_REST]
    detector, given = CenterFace(), 0
    for place in np.random.default_rng(seed).permutation(len(rest)).tolist():
        if given >= most:
            return
        picture = np.asarray(rest[place].picture, np.uint8)
        five = find(picture, detector)
        if not _is_frontal(five):
            continue
        split = "validation" if given % (2 * VALIDATION) == 0 else "train"
        given += 1
        yield _small(f"ferplus-{rest[place].key}", split, picture, five)


def _is_frontal(five: NDArray[np.float32]) -> bool:
    from ingest.faces.align import DegenerateLandmarks, similarity
    from ingest.faces.quality import angles

    try:
        similarity(five)
    except DegenerateLandmarks:
        return False
    return bool(np.isfinite(five).all()) and abs(angles(five)[0]) < MOST_YAW_DEG


def _small(key: str, split: str, picture: Image, five: NDArray[np.float32]) -> Portrait:
    edge = SMALL * picture.shape[0]
    large = cv2.resize(picture, (edge, edge), interpolation=cv2.INTER_CUBIC)
    colour = np.repeat(np.asarray(large, np.uint8)[..., None], 3, axis=2)
    points = five.astype(np.float64) * SMALL
    across = points[1] - points[0]
    turn = np.array([across, (-across[1], across[0])])  # eye distances of an upright face -> px
    noise = 0.06 * float(np.linalg.norm(across))
    return Portrait(
        key, split, colour, Points(points - BIAS @ turn, FIVE, np.ones(5), 0.25, noise), five * SMALL, is_small=True
    )


def everyone(shared: Path, small_ones: int, seed: int) -> Sequence[Portrait]:
    """All portraits of the shared data, sharp ones first."""
    return [*sharp(shared / "faces"), *(small(shared / "ferplus", small_ones, seed) if small_ones else ())]
