"""Weights on a journey: stored in half precision, cut into files of at most 16 MiB, joined and checked at home."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from contract.errors import WeightsDoNotFit
from train.learn.checkpoint import WEIGHTS, note_of, write_weights
from train.learn.tensors import read_tensors

PART_BYTES = 16 << 20
LIST = "parts.json"


def halve(source: Path, target: Path) -> None:
    """Write weights with their large float tensors in float16; they are read back as float32.

    Raises:
        WeightsDoNotFit: the file holds something else.
    """
    entries, raw = read_tensors(source)
    if raw.get("schema") != WEIGHTS:
        raise WeightsDoNotFit(f"{source}: schema {raw.get('schema')!r}, wanted {WEIGHTS}")
    halves = {
        name: each.half() if each.dtype == torch.float32 and each.ndim > 1 else each for name, each in entries.items()
    }
    write_weights(target, halves, dataclasses.replace(note_of(source, raw)))


def cut(source: Path, folder: Path, part_bytes: int = PART_BYTES) -> Sequence[Path]:
    """The file in parts, with a list of them and their hash."""
    body = source.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, begin in enumerate(range(0, len(body), part_bytes)):
        paths.append(folder / f"{source.stem}.{number:03d}")
        paths[-1].write_bytes(body[begin : begin + part_bytes])
    listed = {"file": source.name, "parts": [path.name for path in paths], "sha256": hashlib.sha256(body).hexdigest()}
    (folder / LIST).write_text(json.dumps(listed) + "\n")
    return paths


def join(folder: Path, target: Path) -> None:
    """Put the parts in a folder together.

    Raises:
        WeightsDoNotFit: a part is missing, or the whole is not what was cut.
    """
    try:
        listed = json.loads((folder / LIST).read_text())
        body = b"".join(_read(folder, listed["parts"]))
    except (OSError, ValueError, KeyError) as error:
        raise WeightsDoNotFit(f"{folder}: no whole set of parts ({error})") from error
    if hashlib.sha256(body).hexdigest() != listed["sha256"]:
        raise WeightsDoNotFit(f"{folder}: the parts do not make what was cut ({LIST} has another sha256)")
    target.write_bytes(body)


def _read(folder: Path, names: Sequence[str]) -> Iterator[bytes]:
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{name!r} is not in this folder")
        yield (folder / name).read_bytes()
