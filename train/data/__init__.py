"""Data sets, one file each; and the prepared set that they all become."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from contract.errors import BadRequest, BadSource
from train.data.layout import Layout

KINDS: dict[str, tuple[str, str, dict[str, int | str]]] = {
    "ferplus": ("train.data.ferplus", "read", {}),
    "rafdb": ("train.data.rafdb", "read", {}),
    "rafdb-original": ("train.data.rafdb", "read", {"pictures": "original"}),
    "affectnet8": ("train.data.affectnet", "read", {"classes": 8}),
    "affectnet7": ("train.data.affectnet", "read", {"classes": 7}),
    "disfa": ("train.data.disfa", "read", {}),
    "disfa+": ("train.data.disfa", "read_plus", {}),
    "bp4d": ("train.data.bp4d", "read", {}),
}
"""Name -> module, function and options. Readers need OpenCV; a prepared set does not."""

SIGNS = {
    "ferplus": ("fer2013new.csv", "fer2013.csv", "*.npz"),
    "rafdb": ("EmoLabel",),
    "affectnet8": ("training.csv", "validation.csv", "train_set", "val_set"),
    "disfa": ("ActionUnit_Labels",),
    "disfa+": ("Labels",),
    "bp4d": ("list/BP4D_test_img_path_fold1.txt",),
}
"""What a folder in the layout of a set has."""


def read(kind: str, path: Path) -> Layout:
    """The data set of this kind in this place, checked.

    Raises:
        BadRequest: no such kind; the message lists all.
        BadSource: another layout, a wrong label, a missing or double file; with file and line.
    """
    if kind not in KINDS:
        raise BadRequest(f"no data set is called {kind!r}; there is {', '.join(KINDS)}")
    module, function, options = KINDS[kind]
    reader: Callable[..., Layout] = getattr(import_module(module), function)
    return reader(path, **options)


def kind_of(path: Path) -> str:
    """The kind of data set whose layout this file or folder has.

    Raises:
        BadSource: none; the message says what was looked for.
    """
    if path.is_file():
        if path.suffix == ".npz":
            return "ferplus"
        raise BadSource(f"{path}: a {path.suffix or 'nameless'} file; wanted an npz or a folder in a known layout")
    for kind, signs in SIGNS.items():
        if any(next(path.glob(sign), None) for sign in signs):
            return kind
    looked_for = ", ".join(sign for signs in SIGNS.values() for sign in signs)
    raise BadSource(
        f"{path}: {'no' if path.is_dir() else 'there is no such file or folder, and no'} known layout; "
        f"looked for {looked_for} or a prepared set"
    )
