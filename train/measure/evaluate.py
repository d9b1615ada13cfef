"""What nets are worth on labelled faces: cards of the zoo, card files and trained weights, on any known layout."""

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from contract.errors import BadRequest, UnknownNet
from contract.model_card import read_card
from ingest.faces.align import TEMPLATE, cut
from models import zoo
from models.engines.onnx import OnnxEngine
from models.zoo import write_card
from train.data import kind_of, read
from train.data.faceset import FaceSet, is_set, open_set
from train.data.labels import labels_of
from train.data.prepare import Plan, Report, prepare
from train.learn.augment import Pictures
from train.learn.checkpoint import WeightsNote, read_weights, write_weights
from train.learn.feed import Feed
from train.measure.judge import PROTOCOLS, Answers, agreements, judge, together
from train.recipe import Augment, Data

SCHEMA = "mien.evaluation/1"
BATCH = 64
Rows = NDArray[np.int64]
Ask = Callable[[FaceSet, Rows], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A net to be judged."""

    name: str
    labels: tuple[str, ...]
    temperature: float
    thresholds: tuple[float, ...]
    ask: Ask  # logits (n, labels) of rows of a set
    calibrate: Callable[[float], None]  # keep a temperature where the net is kept


def contestant(net: str, threads: int = 1) -> Contestant:
    """The net of this name in the zoo, in this card (.json) or in these weights (.safetensors).

    Raises:
        UnknownNet: none of them.
        BadModel: it cannot be opened.
    """
    path = Path(net)
    if path.suffix == ".safetensors":
        return _of_weights(path)
    if path.suffix == ".json":
        return _of_card(path, threads)
    if path.is_dir() and (path / "weights.safetensors").is_file():
        return _of_weights(path / "weights.safetensors")
    if net not in zoo.cards():
        listed = ", ".join(name for name in zoo.cards())
        raise UnknownNet(f"{net!r} is no net of the zoo ({listed}), no card (.json) and no weights (.safetensors)")
    return _of_card(zoo.cards()[net], threads)


def _of_card(path: Path, threads: int) -> Contestant:
    card = read_card(path)
    if card.task not in ("expressions", "action_units"):
        raise BadRequest(f"{card.name}: a net for {card.task}, wanted expressions or action_units")
    engine = OnnxEngine(card, path.parent, threads)

    def ask(faces: FaceSet, rows: Rows) -> NDArray[np.float32]:
        parts = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
        return np.concatenate([engine(crops(faces, some, card.input_edge))[card.output] for some in parts])

    def calibrate(temperature: float) -> None:
        write_card(msgspec.structs.replace(read_card(path), temperature=round(temperature, 4)), path)

    return Contestant(card.name, card.labels, card.temperature, (), ask, calibrate)


def _of_weights(path: Path) -> Contestant:
    net, note = read_weights(path)

    def calibrate(temperature: float) -> None:
        write_weights(path, net.state_dict(), dataclasses.replace(note, temperature=temperature))

    ask = partial(logits_asked_of, net, note)
    return Contestant(note.name, note.labels, note.temperature, note.thresholds, ask, calibrate)


@torch.inference_mode()
def logits_asked_of(net: nn.Module, note: WeightsNote, faces: FaceSet, rows: Rows) -> NDArray[np.float32]:
    """(n, labels) of rows of a set, as a net of this note sees them, in eval mode on the CPU."""
    pictures = Pictures(
        note.edge, Augment(centre=note.centre), Data("majority", mean=note.mean, std=note.std, grey=note.grey)
    )
    feed = Feed(faces, torch.device("cpu"))
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on a CPU
    parts = [net(pictures.evaluation(*feed(rows[at : at + BATCH]))) for at in range(0, len(rows), BATCH)]
    logits: NDArray[np.float32] = torch.cat(parts).float().numpy()
    return logits


def crops(faces: FaceSet, rows: Rows, edge: int) -> NDArray[np.uint8]:
    """(n, edge, edge, 3) u8 RGB, as live crops are cut and resized."""
    pictures = faces.pictures.take(rows)
    pictures = np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures
    if faces.to_picture is not None:  # the template's points in the picture: `cut` finds the same similarity again
        maps = faces.to_picture[rows].astype(np.float64)
        points = TEMPLATE @ maps[:, :, :2].transpose(0, 2, 1) + maps[:, None, :, 2]
        return np.stack([cut(picture, some, edge) for picture, some in zip(pictures, points, strict=True)])
    if pictures.shape[1] == edge:
        return pictures
    how = cv2.INTER_AREA if pictures.shape[1] > edge else cv2.INTER_LINEAR
    return np.stack([cv2.resize(picture, (edge, edge), interpolation=how) for picture in pictures]).astype(np.uint8)


@contextlib.contextmanager
def faces_at(path: Path, kind: str = "", report: Report = lambda *_: None) -> Iterator[FaceSet]:
    """The set in this place: prepared, or in a known layout; then it is prepared for as long as it is needed.

    Raises:
        BadSource: no known layout, or a fault in it.
    """
    if not kind and is_set(path):
        yield open_set(path)
        return
    layout = read(kind or kind_of(path), path)
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        prepare(layout, Path(folder) / "set", Plan(whole=layout.kind == "votes"), report)
        yield open_set(Path(folder) / "set")


def chosen_split(faces: FaceSet, wanted: str) -> str:
    """The wanted split, else «test», else «validation», else the only one.

    Raises:
        BadRequest: it cannot be told.
    """
    seen: list[str] = sorted(set(faces.splits.tolist()))
    for split in [wanted] if wanted else ["test", "validation"]:
        if split in seen:
            return split
    if not wanted and len(seen) == 1:
        return seen[0]
    raise BadRequest(
        f"{faces.name}: split {wanted or 'test or validation'!r} is not there; choose of {', '.join(seen)}"
    )


def evaluate(
    every: Sequence[Contestant], faces: FaceSet, split: str = ""
) -> tuple[dict[str, Any], list[Answers], Rows]:
    """The evaluation as plain values, the answers, and the rows that they are of.

    Raises:
        BadRequest: no such split, no usable face in it, or a net for something else.
    """
    split = chosen_split(faces, split)
    labels = labels_of(faces, PROTOCOLS[faces.kind][-1])
    rows = faces.rows([split])
    rows = rows[labels.known[rows]]
    if not len(rows):
        raise BadRequest(f"{faces.name}: no labelled face in the split {split!r}")
    for one in every:
        if not set(one.labels) & set(labels.names):
            raise BadRequest(f"{one.name} answers {', '.join(one.labels[:3])} …, {faces.name} has {labels.names[0]} …")
    answers = [Answers(one.name, one.labels, one.ask(faces, rows), one.temperature, one.thresholds) for one in every]
    document: dict[str, Any] = {"schema": SCHEMA, "data": faces.name, "data_sha256": faces.digest, "split": split}
    document["nets"] = [judge(one, faces, rows) for one in answers]
    if len(answers) > 1:
        document["ensemble"] = judge(together(answers), faces, rows)
        document["agreement"] = agreements(answers)
    return document, answers, rows


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write the evaluation."""
    path.write_text(json.dumps(document, indent=2) + "\n")
