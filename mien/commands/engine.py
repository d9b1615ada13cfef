"""`mien engine`: nets become files that run, and plans are looked after."""

import importlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contract.errors import BadModel, BadRequest, EngineDoesNotFit, EngineUnavailable
from contract.manifest import Batches, Manifest, Recipe, is_signed, read_manifest
from contract.model_card import ModelCard, read_card
from models import nets, zoo
from models.engines.crops import noise

if TYPE_CHECKING:
    from models.engines.cuda import Gpu
    from models.engines.library import Library
    from train.ship.build import Crops

app = typer.Typer(help="Build, list, verify, calibrate and export engines.", no_args_is_help=True)

CALIBRATION_CROPS = 1024
LAYOUTS = ("files", "triton")
Out = Annotated[
    Path | None,
    typer.Option(help=r"Folder of the files.  \[default: $MIEN_PLANS or ~/.cache/mien/plans]", metavar="DIR"),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Real crops: an npz of crops or of FER+, or a folder of npz or pictures.", metavar="DIR_OR_NPZ"),
]


@app.command()
def build(
    wanted: Annotated[
        list[str], typer.Argument(metavar="NET_OR_CARD…", help="Nets of the zoo or the registry, or card files.")
    ],
    flavour: Annotated[
        str | None, typer.Option(help=r"«trt» (TensorRT) or «rtx» (builds without a GPU).  \[default: what fits]")
    ] = None,
    precision: Annotated[str | None, typer.Option(help=r"fp32, fp16, int8 or fp8.  \[default: the card's]")] = None,
    least: Annotated[int, typer.Option("--min", help="Smallest batch.", min=1)] = 1,
    best: Annotated[int, typer.Option("--opt", help="Batch to tune for.", min=1)] = 8,
    most: Annotated[int, typer.Option("--max", help="Largest batch.", min=1)] = 32,
    out: Out = None,
    data: Data = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Compute capability to build for, as 8.9; may be repeated (rtx only).")
    ] = None,
    hardware: Annotated[
        str, typer.Option(help="none, same_compute_capability or ampere_plus: which other GPUs may run it (trt only).")
    ] = "none",
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Later minor versions may run it (trt only).")
    ] = False,
) -> None:
    """Build TensorRT plans with their manifests; the second build of the same finds the first."""
    from models.engines.building import recipe_for
    from models.engines.cuda import find_gpu
    from models.engines.library import library_for
    from models.engines.plans import make_plan, plans_folder

    gpu = find_gpu()
    if flavour not in (None, "trt", "rtx"):
        raise BadRequest(f"no flavour {flavour!r}; there is trt and rtx")
    library = library_for(gpu, flavour)
    folder = out or plans_folder()

    def recipe_in(precision: str) -> Recipe:
        batches, targets = Batches(least, best, most), tuple(target or ())
        return recipe_for(library, gpu, precision, batches, targets, hardware, version_compatible)

    sources = folder / "onnx"  # what plans are rebuilt from
    for name in wanted:
        with tempfile.TemporaryDirectory() as scratch:
            card, home = _card(name, sources if precision in (None, "fp32") else Path(scratch))
            recipe = recipe_in(precision or card.precision)  # refuses before anything is converted
            crops = _crops(data, card.input_edge)
            if recipe.precision != card.precision:
                card, home = _train("build").in_precision(card, home, recipe.precision, sources, crops), sources
        begun = time.perf_counter()
        with _progress(card.name) as watch:
            measure = _measure(card, home, library, gpu, crops)
            plan, found = make_plan(folder, card, home, library, gpu, recipe, watch, measure)
        seconds = "cached" if found else f"{time.perf_counter() - begun:.1f} s"
        print(f"{card.name:24} {seconds:>8} {plan.manifest.plan_bytes:>13,} bytes  {plan.manifest.plan_file}")
        for number in plan.manifest.accuracy:
            print(f"  {number.name}: {number.value:.3g} ({number.data})")
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    print(f"{folder}: {size:,} bytes in all; {_described(recipe)}")


@app.command("list")
def list_plans(out: Out = None) -> None:
    """Show the plans of a folder and whether they fit this machine."""
    from models.engines.plans import manifests, plans_folder

    folder = out or plans_folder()
    paths = list(manifests(folder))
    if not paths:
        print(f"{folder}: no plans; `mien engine build NET` makes them")
    for path in paths:
        try:
            manifest = read_manifest(path)
        except EngineDoesNotFit as error:
            print(f"{path.name}: {error}")
            continue
        print(f"{manifest.net:24} {manifest.plan_bytes:>13,} bytes  {_described(manifest.recipe)}")
        print(f"{'':24} {_fits_here(manifest) or 'fits this machine'}; {manifest.plan_file}")


@app.command()
def verify(out: Out = None) -> None:
    """Check manifests, signatures and hashes of all plans, without running any; exit code 1 where one is harmed."""
    from models.engines.plans import manifests, plan_body, plans_folder, site_key

    folder = out or plans_folder()
    harmed = 0
    for path in manifests(folder):
        try:
            manifest = read_manifest(path)
            plan_body(folder, manifest)
            if not is_signed(manifest, site_key()):
                raise EngineDoesNotFit(f"{path.name}: not signed with the key of this site")
        except EngineDoesNotFit as error:
            harmed += 1
            print(f"harmed  {error}")
        else:
            misfit = _fits_here(manifest)
            print(f"whole   {manifest.plan_file}" + (f" (not for this machine: {misfit})" if misfit else ""))
    if harmed:
        raise typer.Exit(1)


@app.command()
def calibrate(
    wanted: Annotated[str, typer.Argument(metavar="CARD", help="A net of the zoo or a card file, in fp32.")],
    data: Annotated[Path, typer.Option(help="Real crops, as for `build`.", metavar="DIR_OR_NPZ")],
    out: Annotated[Path, typer.Option(help="Folder of the new card and ONNX file.", metavar="DIR")] = Path("out/int8"),
    most: Annotated[
        int, typer.Option("--crops", help="Crops to use; up to 1,024, at most half, to calibrate.", min=64)
    ] = 5120,
) -> None:
    """Make a static int8 ONNX file for the CPU that keeps at least 99.5 % of the decisions on real crops."""
    card, home = _card(wanted, out)
    crops = _crops(data, card.input_edge, most)
    command = f"mien engine calibrate {card.name} --data {data.name} --crops {most}"
    made = _train("build").calibrated(card, home, out, crops, command)
    print(f"{out / made.file}")
    for number in made.measurements[len(card.measurements) :]:
        print(f"  {number.name}: {number.value:.5g} ({number.data}{'; ' + number.note if number.note else ''})")


@app.command()
def export(
    net: Annotated[str, typer.Argument(help=f"One of {', '.join(nets.names())}; for triton a net of the zoo, too.")],
    weights: Annotated[Path | None, typer.Option(help="A checkpoint; random weights without one.")] = None,
    edge: Annotated[int | None, typer.Option(help=r"Input edge, px.  \[default: the one that is served]")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the files.", metavar="DIR")] = Path("out/export"),
    data: Data = None,
    layout: Annotated[
        str, typer.Option(help="«files»: ONNX, torch program, cards; «triton»: a model of a Triton repository.")
    ] = "files",
) -> None:
    """Write a net as ONNX and as torch program, each compared with torch, with their cards."""
    if layout not in LAYOUTS:
        raise BadRequest(f"no layout {layout!r}; there is {', '.join(LAYOUTS)}")
    if layout == "triton":
        from models.engines.triton import write_triton

        with tempfile.TemporaryDirectory() as scratch:
            print(write_triton(*_card(net, Path(scratch)), out))
        return
    building = _train("build")
    real = _train("crops").read_crops(data, edge or building.PUBLISHED.get(net, (112,))[0], 16) if data else None
    command = f"mien engine export {net}" + (f" --weights {weights.name}" if weights else "")
    card = building.export_net(net, out, weights, real, edge, command)
    print(f"{out / card.file}")
    for number in card.measurements:
        print(f"  {number.name}: {number.value:.2e} ({number.data})")


def _card(wanted: str, out: Path) -> tuple[ModelCard, Path]:
    """The card and its folder: a file, a name of the zoo, or a net of the registry (exported with random weights)."""
    path = Path(wanted)
    if path.suffix == ".json":
        return read_card(path), path.parent
    if wanted in zoo.cards():
        return zoo.find(wanted)
    if wanted not in nets.names():
        raise BadModel(f"no net or card {wanted!r}; there is {', '.join((*zoo.cards(), *nets.names()))}")
    return _train("build").export_net(wanted, out, command="mien engine build", program_too=False), out


def _crops(data: Path | None, edge: int, most: int = CALIBRATION_CROPS) -> Any:
    if data is None:
        return None
    return _train("build").split_crops(_train("crops").read_crops(data, edge, most), data.name)


def _train(module: str) -> Any:
    """Return a module of `train.ship`, imported when it is needed: the base installation has no torch."""
    try:
        return importlib.import_module(f"train.ship.{module}")
    except ImportError as error:
        if error.name is not None and error.name.startswith("train"):  # a fault of ours, not a missing library
            raise
        raise EngineUnavailable(
            f"this needs {error.name}, which the base installation lacks: `pip install 'mien[train]'` or `make setup`"
        ) from error


def _measure(card: ModelCard, home: Path, library: "Library", gpu: "Gpu | None", crops: "Crops | None") -> Any:
    """What runs a fresh plan against the reference; None where it cannot be run."""
    from models.engines.tensorrt import accuracy

    if gpu is None or not library.runs_on(gpu):
        return None
    shown = crops.held_out[:64] if crops else noise(card.input_edge, 16)
    return lambda plan: accuracy(card, home, plan, library, gpu, shown)


def _described(recipe: Recipe) -> str:
    batches = recipe.batches
    return (
        f"{recipe.flavour} {recipe.library_version} for compute capability {', '.join(recipe.compute_capabilities)}, "
        f"{recipe.precision}, batch {batches.least}/{batches.best}/{batches.most}"
    )


def _fits_here(manifest: Manifest) -> str:
    """Why the plan does not fit this machine; empty when it does, as far as can be told."""
    from models.engines.cuda import find_gpu
    from models.engines.library import load_library
    from models.engines.plans import misfit

    try:
        library: Library = load_library(manifest.recipe.flavour)
    except (EngineUnavailable, KeyError):
        return f"«{manifest.recipe.flavour}» is not installed"
    gpu = find_gpu()
    return misfit(manifest.recipe, library, gpu) or ("" if gpu else "no GPU")


def _progress(name: str) -> Any:
    """A progress bar that TensorRT's monitor feeds; a context manager that gives the watch."""
    import contextlib
    from collections.abc import Iterator

    from rich.progress import Progress

    @contextlib.contextmanager
    def shown() -> Iterator[Any]:
        with Progress(transient=True) as progress:
            task = progress.add_task(name, total=None)
            outer: list[str] = []  # only the outermost phase: the inner ones flicker

            def watch(phase: str, step: int, steps: int) -> bool:
                if not outer:
                    outer.append(phase)
                if phase == outer[0]:
                    progress.update(task, description=f"{name}: {phase}", completed=step, total=steps)
                return True

            yield watch

    return shown()
