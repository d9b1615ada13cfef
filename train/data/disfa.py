"""DISFA and DISFA+: frames with the intensity 0..5 of twelve action units.

Sources: Mavadati et al., «DISFA», IEEE Trans. Affective Computing 2013; Mavadati, Sanger & Mahoor, «Extended DISFA
Dataset», CVPR Workshops 2016. By agreement with their authors; nothing of them is shipped.

    DISFA    ActionUnit_Labels/SN001/SN001_au1.txt  «1,0»: frame from 1, intensity;  frames in img/SN001/0.png, from 0
    DISFA+   Labels/SN001/<trial>/AU1.txt  «000.jpg 0», free lines before;  frames in img/SN001/<trial>/000.jpg

An active unit has intensity 2 or more (the recipes' threshold). DISFA's three subject-exclusive parts and DISFA+'s
split are those of CVI-SZU/ME-GraphAU `tool/DISFA_image_label_process.py` and YIUYA/DRML
`tool/DISFAplus_image_label_process.py`; that one lists frames unsorted beside sorted labels, here names are matched.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.errors import SourceNotFound
from contract.labels import ACTION_UNITS
from train.data.layout import MISSING, Example, Layout, Once, folder_at, present, rows

PARTS = {
    "part1": (2, 10, 1, 26, 27, 32, 30, 9, 16),
    "part2": (13, 18, 11, 28, 12, 6, 31, 21, 24),
    "part3": (3, 29, 23, 25, 8, 5, 7, 17, 4),
}
"""Subjects of DISFA: fold 1 tests on part 3, fold 2 on part 2, fold 3 on part 1."""

PLUS = {"train": (1, 3, 4, 7, 9, 10, 13), "test": (25, 27)}
"""Subjects of DISFA+: 42,929 and 14,739 frames."""

Scores = dict[int, int]  # frame -> intensity


def read(folder: Path) -> Layout:
    """DISFA in this folder, split into part1, part2 and part3; a unit without a file is missing, not absent.

    Raises:
        BadSource: another layout, an intensity outside 0..5, a frame twice or missing; with file and line.
    """
    labels = folder_at(folder / "ActionUnit_Labels", "ActionUnit_Labels/SN001/SN001_au1.txt as DISFA has it")
    frames = _frames(folder)
    examples = []
    for subject in sorted(path for path in labels.iterdir() if path.is_dir()):
        units = [_scores(subject / f"{subject.name}_{unit.lower()}.txt", delimiter=",") for unit in ACTION_UNITS]
        split = _split(subject.name, PARTS)
        for frame in sorted(set().union(*units)):
            picture = frames / subject.name / f"{frame - 1}.png"  # the labels count from 1, the pictures from 0
            key = f"{subject.name}/{frame - 1}.png"
            target = tuple(unit.get(frame, MISSING) for unit in units)
            examples.append(Example(key, picture, target, split, subject.name))
    return present(Layout("DISFA", "intensity", ACTION_UNITS, examples))


def read_plus(folder: Path) -> Layout:
    """DISFA+ in this folder with its published split; subjects outside of it are «unused».

    Raises:
        BadSource: another layout, an intensity outside 0..5, a frame twice or missing; with file and line.
    """
    labels = folder_at(folder / "Labels", "Labels/SN001/<trial>/AU1.txt as DISFA+ has it")
    frames = _frames(folder)
    examples = []
    for trial in sorted(path for path in labels.glob("*/*") if path.is_dir()):
        subject = trial.parent.name
        units = [_scores(trial / f"{unit}.txt", delimiter=None) for unit in ACTION_UNITS]
        split = _split(subject, PLUS)
        for frame in sorted(set().union(*units)):
            key = f"{subject}/{trial.name}/{frame:03d}.jpg"
            target = tuple(unit.get(frame, MISSING) for unit in units)
            examples.append(Example(key, frames / key, target, split, subject))
    return present(Layout("DISFA+", "intensity", ACTION_UNITS, examples))


def _frames(folder: Path) -> Path:
    for name in ("img", "Images", "frames"):
        if (folder / name).is_dir():
            return folder / name
    raise SourceNotFound(f"{folder}: none of img/, Images/ and frames/ is there, wanted the frames as pictures")


def _split(subject: str, splits: Mapping[str, tuple[int, ...]]) -> str:
    numbers = {f"SN{number:03d}": name for name, some in splits.items() for number in some}
    return numbers.get(subject, "unused")


def _scores(path: Path, delimiter: str | None) -> Scores:
    """Intensity by frame number; nothing where the file is missing (some subjects lack a unit)."""
    return dict(_scored(path, delimiter)) if path.is_file() else {}


def _scored(path: Path, delimiter: str | None) -> Iterator[tuple[int, int]]:
    once = Once()
    for row in rows(path, delimiter):
        name = row.fields[0].strip()
        if delimiter is None and not name.endswith((".jpg", ".png")):
            continue  # DISFA+ begins with lines of free text
        try:
            frame = int(Path(name).stem)
        except ValueError:
            raise row.error(f"frame {name!r}, wanted a number") from None
        once(row, name)
        yield frame, row.whole(len(row.fields) - 1, "the intensity", 0, 5)
