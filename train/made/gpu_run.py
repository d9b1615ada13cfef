"""One errand to a GPU machine that has torch and numpy alone: train, measure, pack, within a time.

    python -m train.made.gpu_run RECIPE… --data ferplus.npz --out DIR --minutes 9.5

DIR/RECIPE holds history.jsonl and the weights in parts (`train.made.parts.join` puts them together); DIR/summary.json
holds the numbers of each net and of their mean. Checkpoints stay in a scratch folder: they are ten times as large.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.errors import MienError
from train.__main__ import add_files, train
from train.data.faceset import FaceSet, open_set
from train.learn.augment import Pictures
from train.learn.checkpoint import read_weights
from train.learn.feed import Feed
from train.learn.objective import Objective
from train.learn.processes import join
from train.learn.validate import logits_of
from train.made import parts
from train.measure import judge
from train.recipe import Recipe, read_recipe, with_files

WRITE_EVERY = 15  # epochs: DACL's checkpoint is 1.6 GB
PACKING_S = 20.0


def run(
    recipes: Sequence[Recipe], data: Path, out: Path, *, minutes: float, device: str, scratch: Path
) -> dict[str, Any]:
    """Train each recipe in its share of the time, and return and write the summary."""
    faces, end = open_set(data), time.monotonic() + 60 * minutes - PACKING_S
    out.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"runs": [], "nets": []}
    answers = []
    for place, recipe in enumerate(recipes):
        share = (end - time.monotonic()) / (len(recipes) - place)
        folder = scratch / recipe.name
        document["runs"].append(
            train(recipe, data, folder, device=device, seconds=max(1.0, share), checkpoint_every=WRITE_EVERY)
        )
        parts.halve(folder / "weights.safetensors", folder / "half.safetensors")
        parts.cut(folder / "half.safetensors", out / recipe.name)
        shutil.copy(folder / "history.jsonl", out / recipe.name)
        answers.append(_answers(recipe, faces, folder / "half.safetensors", device))
        rows = faces.rows(recipe.data.validation)
        document["nets"].append(judge.judge(answers[-1], faces, rows))
        if len(answers) > 1 and len({each.data.validation for each in recipes}) == 1:
            document["ensemble"] = judge.judge(judge.together(answers), faces, rows)
            document["agreement"] = judge.agreements(answers)
        (out / "summary.json").write_text(json.dumps(document, indent=1) + "\n")  # after each: time may run out
    return document


def _answers(recipe: Recipe, faces: FaceSet, weights: Path, device: str) -> judge.Answers:
    """What the packed weights, those that travel, say of the validation faces."""
    net, note = read_weights(weights)
    place = join(device).device
    judged = Objective(
        dataclasses.replace(recipe, net=dataclasses.replace(recipe.net, stem_epochs=0)), len(note.labels)
    )
    judged.net = net
    pictures = Pictures(note.edge, recipe.augment, recipe.data)
    rows = faces.rows(recipe.data.validation)
    logits = logits_of(judged.to(place), pictures, Feed(faces, place), rows, 256)
    return judge.Answers(note.name, note.labels, logits, note.temperature, note.thresholds)


def main() -> None:
    """Read the command line, run, print one line per net."""
    parser = argparse.ArgumentParser(prog="python -m train.made.gpu_run", description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--epochs", type=int, default=0, help="instead of the recipes'")
    parser.add_argument("--device", default="auto")
    add_files(parser)
    options = parser.parse_args()
    try:
        recipes = [with_files(read_recipe(name), options.start, options.teacher) for name in options.recipes]
        if options.epochs:
            recipes = [
                dataclasses.replace(each, run=dataclasses.replace(each.run, epochs=options.epochs)) for each in recipes
            ]
        with tempfile.TemporaryDirectory() as scratch:
            document = run(
                recipes,
                options.data,
                options.out,
                minutes=options.minutes,
                device=options.device,
                scratch=Path(scratch),
            )
    except MienError as error:
        print(f"gpu_run: {error}", file=sys.stderr)
        sys.exit(2)
    for summary in document["runs"]:
        print(json.dumps(summary))


if __name__ == "__main__":
    main()
