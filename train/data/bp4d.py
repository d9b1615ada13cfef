"""BP4D by its lists: one file of picture paths and one of labels, line by line, in three subject-exclusive folds.

Source: Zhang et al., «BP4D-Spontaneous», Image and Vision Computing 2014; lists in the form of CVI-SZU/ME-GraphAU
`tool/BP4D_image_label_process.py`. By agreement with its authors; nothing of it is shipped.

    img/F001/T1/2440.jpg
    list/BP4D_test_img_path_fold3.txt   «F001/T1/2440.jpg»
    list/BP4D_test_label_fold3.txt      «1 0 0 …», twelve of -1, 0, 1 or 9: 1 active, 9 not seen by the coder; where
                                        a list holds -1 at all, that is «absent» and 0 is «unknown» (DRML's coding)
"""

from pathlib import Path

from contract.errors import BadSource
from train.data.layout import MISSING, Example, Layout, Once, folder_at, present, rows

UNITS = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24")
UNSEEN = 9
PARTS = {3: "part1", 2: "part2", 1: "part3"}
"""Which part a fold tests on."""


def read(folder: Path) -> Layout:
    """BP4D in this folder, from the test lists of its three folds: part1, part2 and part3.

    Raises:
        BadSource: another layout, lists of unequal length, a label outside -1, 0, 1 and 9, a frame twice or missing.
    """
    lists = folder_at(folder / "list", "list/BP4D_test_img_path_fold1.txt and its labels")
    folder_at(folder / "img", "the frames img/F001/T1/2440.jpg")
    examples = [example for fold in sorted(PARTS) for example in _fold(folder, lists, fold)]
    parts_by_subject: dict[str, str] = {}
    for example in examples:
        if parts_by_subject.setdefault(example.subject, example.split) != example.split:
            raise BadSource(f"{lists}: subject {example.subject} stands in two folds")
    return present(Layout("BP4D", "presence", UNITS, sorted(examples, key=lambda example: example.key)))


def _fold(folder: Path, lists: Path, fold: int) -> list[Example]:
    names = list(rows(lists / f"BP4D_test_img_path_fold{fold}.txt"))
    labels = list(rows(lists / f"BP4D_test_label_fold{fold}.txt"))
    if len(names) != len(labels):
        raise BadSource(f"{labels[0].path if labels else lists}: {len(labels)} lines for {len(names)} pictures")
    values = [[row.whole(unit, UNITS[unit], -1, UNSEEN) for unit in range(len(UNITS))] for row in labels]
    for row, some in zip(labels, values, strict=True):
        if len(row.fields) != len(UNITS) or not set(some) <= {-1, 0, 1, UNSEEN}:
            raise row.error(f"{' '.join(row.fields)[:60]!r}, wanted {len(UNITS)} of -1, 0, 1 and {UNSEEN}")
    signed = any(-1 in some for some in values)
    meaning = {1: 1, -1: 0, 0: MISSING if signed else 0, UNSEEN: MISSING}
    once = Once()
    return [
        Example(
            once(row, row.fields[0]),
            folder / "img" / row.fields[0],
            tuple(meaning[value] for value in some),
            PARTS[fold],
            row.fields[0].partition("/")[0],
        )
        for row, some in zip(names, values, strict=True)
    ]
