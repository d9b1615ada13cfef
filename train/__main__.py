"""Train from a shell, also where there is nothing but torch and numpy: `python -m train RECIPE --data SET --out DIR`.

Over several GPUs: `torchrun --nproc-per-node 4 -m train RECIPE --data SET --out DIR`.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from contract.errors import BadOutput, MienError
from contract.exit_codes import BAD_INPUT, INTERRUPTED
from train.data.faceset import open_set
from train.learn.loop import Bounds, Trainer
from train.learn.processes import Processes, join, leave
from train.learn.watch import Follow, Silent, Watch
from train.recipe import Recipe, read_recipe, with_files


def train(
    recipe: Recipe, data: Path, out: Path, *, device: str = "auto", resume: bool = False, **bounds: Any
) -> dict[str, Any]:
    """Train, and return the summary. The prepared set and every option are checked before the first epoch.

    Raises:
        MienError: wrong recipe, set, folder or checkpoint; a loss that is not a number.
    """
    faces = open_set(data)
    processes = join(device)
    try:
        if not resume and (out / "checkpoint.safetensors").exists():
            raise BadOutput(f"{out}: holds a run already; --resume goes on with it, or choose another folder")
        _make(out)
        watch = _watch(processes, out, recipe, resume)
        try:
            trainer = Trainer(recipe, faces, out, processes, watch)
            if resume and trainer.checkpoint.exists():
                trainer.resume(trainer.checkpoint)
            return trainer.run(Bounds(**bounds))
        finally:
            watch.close()
    finally:
        leave()


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutput(f"{out}: cannot be made ({error.strerror})") from error


def _watch(processes: Processes, out: Path, recipe: Recipe, resume: bool) -> Watch:
    return Follow(out, recipe.run.epochs, resume) if processes.is_first else Silent()


def add_files(parser: argparse.ArgumentParser) -> None:
    """The options for `train.recipe.with_files`."""
    parser.add_argument("--start", type=Path, help="weights to begin from, for recipes that do not begin anew")
    parser.add_argument("--teacher", type=Path, action="append", default=[], help="weights that teach; may be repeated")


def main() -> None:
    """Read the command line, train, print the summary as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("recipe", help="name of a recipe that comes along, or a TOML file")
    parser.add_argument("--data", type=Path, required=True, help="prepared set: a folder, or a packed file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    add_files(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument("--stop-after", type=int, default=0, help="stop after this epoch")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after the epoch that ends later than this"
    )
    parser.add_argument("--checkpoint-every", type=int, default=1, help="epochs between checkpoints")
    options = parser.parse_args()
    try:
        bounds = {"stop_after": options.stop_after, "seconds": 60 * options.minutes}
        summary = train(
            with_files(read_recipe(options.recipe), options.start, options.teacher),
            options.data,
            options.out,
            device=options.device,
            resume=options.resume,
            checkpoint_every=options.checkpoint_every,
            **bounds,
        )
        print(json.dumps(summary))
    except MienError as error:
        print(f"train: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
