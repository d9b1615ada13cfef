"""RAF-DB, basic expressions: 12,271 training and 3,068 test pictures with one of seven labels.

Source: Li, Deng & Du, «Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild», CVPR 2017. For research by agreement with its authors; nothing of it is shipped.

    EmoLabel/list_patition_label.txt        (spelt so) «train_00001.jpg 5»
    Image/aligned/train_00001_aligned.jpg   100 × 100 px
    Image/original/train_00001.jpg
"""

from pathlib import Path

from contract.errors import SourceNotFound
from train.data.layout import Example, Layout, Once, folder_at, present, rows

NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""The file's labels 1..7, in order."""

LIST = Path("EmoLabel") / "list_patition_label.txt"


def read(folder: Path, pictures: str = "aligned") -> Layout:
    """RAF-DB basic in this folder; `pictures` is «aligned» or «original», whichever is there if only one is.

    Raises:
        BadSource: another layout, a label outside 1..7, a name twice, a missing picture; with file and line.
    """
    folder_at(folder, f"RAF-DB basic with {LIST} and Image/aligned or Image/original")
    found = [kind for kind in (pictures, "aligned", "original") if (folder / "Image" / kind).is_dir()]
    if not found:
        raise SourceNotFound(f"{folder / 'Image'}: neither aligned nor original is there")
    once, examples = Once(), []
    for row in rows(folder / LIST):
        name = once(row, row.fields[0])
        split = name.partition("_")[0]
        if split not in ("train", "test"):
            raise row.error(f"picture {name!r}, wanted train_NNNNN.jpg or test_NNNNN.jpg")
        label = row.whole(1, "the label", 1, len(NAMES)) - 1
        file = Path(name).with_suffix(".jpg" if found[0] == "original" else "").name
        file = file if found[0] == "original" else f"{file}_aligned.jpg"
        examples.append(Example(name, folder / "Image" / found[0] / file, (label,), split))
    return present(Layout("RAF-DB basic", "class", NAMES, examples))
