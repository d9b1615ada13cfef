"""A prepared set of faces: memory-mapped shards, or one packed file. Needs numpy alone, as a bare GPU machine has."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource, SourceNotFound
from runtime.files import whole_file

SCHEMA = "mien.set/1"
MANIFEST = "manifest.json"
FIELDS = ("targets", "splits", "subjects", "keys", "face_px", "sharpness", "to_picture")


class Shelf:
    """Pictures that lie in several arrays of one shape, numbered through."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of each picture."""
        height, width, channels = self._parts[0].shape[1:]
        return height, width, channels

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, H, W, C) copies of these rows, in their order."""
        if len(self._parts) == 1:
            return np.asarray(self._parts[0][rows])
        taken = np.empty((len(rows), *self.shape), np.uint8)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(part_of):
            here = part_of == part
            taken[here] = self._parts[part][rows[here] - self._starts[part]]
        return taken


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Labelled faces in one geometry."""

    name: str
    kind: str  # see train.data.layout.TargetKind
    names: tuple[str, ...]
    pictures: Shelf  # crops, or whole pictures of one size where `to_picture` says where the crop lies
    targets: NDArray[np.uint8]  # (N, 1 or names); 255 missing
    splits: NDArray[np.str_]  # (N,)
    subjects: NDArray[np.str_]  # (N,)
    keys: NDArray[np.str_]  # (N,)
    face_px: NDArray[np.float32]  # (N,) px of the source across the crop
    sharpness: NDArray[np.float32]  # (N,) 0..1, ingest.faces.quality
    to_picture: NDArray[np.float32] | None  # (N, 2, 3): fractions of the crop -> px of the picture
    digest: str  # sha256 over everything above

    def __len__(self) -> int:
        return len(self.targets)

    def rows(self, splits: Sequence[str]) -> NDArray[np.int64]:
        """Rows of these splits, in order.

        Raises:
            BadSource: one of them is empty.
        """
        seen = {str(name): int(count) for name, count in zip(*np.unique(self.splits, return_counts=True), strict=True)}
        if lost := [split for split in splits if split not in seen]:
            listed = ", ".join(f"{name} {count:,}" for name, count in seen.items())
            raise BadSource(f"{self.name}: no split {lost[0]!r}; there is {listed}")
        return np.flatnonzero(np.isin(self.splits, list(splits)))

    def matrices(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 2, 3) from fractions of the crop to px of the stored picture."""
        if self.to_picture is not None:
            return self.to_picture[rows]
        edge = float(self.pictures.shape[0])
        return np.broadcast_to(np.array([[edge, 0, 0], [0, edge, 0]], np.float32), (len(rows), 2, 3)).copy()


def open_set(path: Path) -> FaceSet:
    """The prepared set in a folder of shards or a packed file.

    Raises:
        BadSource: neither, written by a newer Mien, unfinished, or damaged.
    """
    return _open_pack(path) if path.is_file() else _open_shards(path)


def is_set(path: Path) -> bool:
    """Is this a folder of shards or a packed set?"""
    if path.is_dir():
        return (path / MANIFEST).is_file()
    if path.suffix != ".npz" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "manifest.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _open_shards(folder: Path) -> FaceSet:
    manifest = _manifest(folder)
    parts, fields = [], []
    for shard in manifest["shards"]:
        pictures, index = folder / shard["file"], folder / shard["index"]
        try:
            part = np.load(pictures, mmap_mode="r", allow_pickle=False)
            with index.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                fields.append({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise BadSource(f"{pictures}: a shard is missing or damaged ({error}); prepare the set again") from error
        if len(part) != shard["rows"] or len(fields[-1]["targets"]) != shard["rows"]:
            raise BadSource(f"{pictures}: {len(part)} rows, its manifest says {shard['rows']}; prepare the set again")
        parts.append(part)
    joined = {name: np.concatenate([each[name] for each in fields]) for name in fields[0]}
    return _set_of(manifest, Shelf(parts), joined)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise SourceNotFound(f"{folder}: no prepared set ({MANIFEST} is missing; `mien data prepare` writes it)")
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise BadSource(f"{path}: no readable manifest ({error})") from error
    if manifest.get("schema") != SCHEMA:
        raise BadSource(f"{path}: schema {manifest.get('schema')!r}, wanted {SCHEMA}")
    return manifest


def _set_of(manifest: dict[str, Any], pictures: Shelf, fields: dict[str, NDArray[Any]]) -> FaceSet:
    return FaceSet(
        name=manifest["name"],
        kind=manifest["kind"],
        names=tuple(manifest["names"]),
        pictures=pictures,
        to_picture=fields.get("to_picture"),
        digest=manifest["sha256"],
        **{name: fields[name] for name in FIELDS if name != "to_picture"},
    )


def digest_of(shards: Sequence[dict[str, Any]]) -> str:
    """The set's hash, from those of its files."""
    return hashlib.sha256("".join(each["sha256"] + each["index_sha256"] for each in shards).encode()).hexdigest()


def pack(faces: FaceSet, path: Path, splits: Sequence[str] = ()) -> None:
    """Write the rows of these splits (all, if none is named) as one file, pictures filtered and deflated.

    The 27,866 pictures of FER+'s training split become about 45 MiB.

    Raises:
        BadSource: there is no folder to write into.
    """
    rows = faces.rows(splits) if splits else np.arange(len(faces))
    pictures = faces.pictures.take(rows)
    manifest = {"schema": SCHEMA, "name": faces.name, "kind": faces.kind, "names": faces.names}
    manifest["sha256"] = hashlib.sha256(f"{faces.digest} {rows.tolist()}".encode()).hexdigest()
    fields = {name: getattr(faces, name)[rows] for name in FIELDS if getattr(faces, name) is not None}
    if not path.parent.is_dir():
        raise BadSource(f"{path.parent}: no such folder to write the packed set into")
    with whole_file(path) as file:
        np.savez_compressed(file, manifest=np.array(json.dumps(manifest)), filtered=filtered(pictures), **fields)


def _open_pack(path: Path) -> FaceSet:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            fields = {name: arrays[name] for name in arrays.files}
        manifest = json.loads(str(fields.pop("manifest")))
        if manifest["schema"] != SCHEMA:
            raise BadSource(f"{path}: schema {manifest['schema']!r}, wanted {SCHEMA}")
        return _set_of(manifest, Shelf([unfiltered(fields.pop("filtered"))]), fields)
    except (OSError, KeyError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise BadSource(f"{path}: no packed set of faces ({error})") from error


def filtered(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, H, W, C) u8 less PNG's Paeth prediction (PNG specification, filter type 4), so that they deflate well."""
    wide = np.pad(pictures.astype(np.int16), ((0, 0), (1, 0), (1, 0), (0, 0)))
    guess = _paeth(wide[:, 1:, :-1], wide[:, :-1, 1:], wide[:, :-1, :-1])
    return (pictures - guess).astype(np.uint8)


def unfiltered(residue: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pictures again: pixel after pixel, all pictures at once."""
    count, height, width, channels = residue.shape
    lines = np.ascontiguousarray(residue.transpose(1, 2, 0, 3)).astype(np.int16)  # (H, W, N, C)
    wide = np.zeros((height + 1, width + 1, count, channels), np.int16)
    for y in range(height):
        for x in range(width):
            guess = _paeth(wide[y + 1, x], wide[y, x + 1], wide[y, x])
            wide[y + 1, x + 1] = (lines[y, x] + guess) & 255
    return np.ascontiguousarray(wide[1:, 1:].astype(np.uint8).transpose(2, 0, 1, 3))


def _paeth(left: NDArray[np.int16], above: NDArray[np.int16], corner: NDArray[np.int16]) -> NDArray[np.int16]:
    """The neighbour nearest to left + above - corner."""
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    first = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, first)
