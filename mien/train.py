"""`mien train`, `mien evaluate`, `mien data`: from data sets to weights and their numbers."""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from contract.errors import BadRequest, EngineUnavailable

data = typer.Typer(help="Prepare and pack data sets.", no_args_is_help=True)

Report = Callable[[str, int, int], None]
Kind = Annotated[str, typer.Option(help="Layout of the data, where it cannot be told; see `mien data prepare --help`.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON.")]


def mount(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(train)
    app.command()(evaluate)
    app.add_typer(data, name="data")


def train(
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe that comes along, or a TOML file; `list` names them.")
    ],
    data_path: Annotated[
        Path | None,
        typer.Option("--data", help="A prepared or packed set, or a data set in a known layout.", metavar="PATH"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: out/train/RECIPE]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder, exactly.")] = False,
    stop_after: Annotated[int, typer.Option(help="Stop after this epoch; 0: the recipe's.", min=0)] = 0,
    minutes: Annotated[float | None, typer.Option(help="Stop after the epoch that ends later than this.")] = None,
    checkpoint_every: Annotated[int, typer.Option(help="Epochs between checkpoints.", min=1)] = 1,
    kind: Kind = "",
    as_json: Json = False,
) -> None:
    """Train a net by a recipe; weights.safetensors in the run's folder holds the best epoch."""
    import json

    with _torch_at_hand():
        from train.__main__ import train as train_on
    from train.recipe import names, read_recipe

    if recipe == "list":
        print("\n".join(names()))
        return
    wanted = read_recipe(recipe)
    if data_path is None:
        raise BadRequest("no --data; wanted a prepared set or a data set in a known layout")
    folder = out or Path("out") / "train" / wanted.name
    summary = train_on(
        wanted,
        _prepared(data_path, kind, folder),
        folder,
        device=device,
        resume=resume,
        stop_after=stop_after,
        seconds=math.inf if minutes is None else 60 * minutes,
        checkpoint_every=checkpoint_every,
    )
    print(json.dumps(summary) if as_json else _lines(summary))


def _lines(summary: dict[str, Any]) -> str:
    return "\n".join(f"{name:>22}  {value}" for name, value in summary.items())


def _prepared(path: Path, kind: str, folder: Path) -> Path:
    """The set itself where it is prepared; else prepared beside the run, once."""
    from train.data import kind_of, read
    from train.data.faceset import is_set
    from train.data.prepare import Plan, prepare

    if not kind and is_set(path):
        return path
    layout = read(kind or kind_of(path), path)
    with _progress() as report:
        prepare(layout, folder / "set", Plan(whole=layout.kind == "votes"), report)
    return folder / "set"


def evaluate(
    nets: Annotated[
        list[str],
        typer.Argument(
            metavar="NET_OR_CARD…", help="Nets of the zoo, cards (.json), weights (.safetensors) or folders of runs."
        ),
    ],
    data_path: Annotated[
        Path,
        typer.Option(
            "--data", help="Labelled faces: a prepared set, an npz, or a data set in a known layout.", metavar="PATH"
        ),
    ],
    report: Annotated[Path | None, typer.Option(help="Write a page with figures here.", metavar="DIR")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all numbers here.", metavar="FILE")] = None,
    split: Annotated[str, typer.Option(help="Which split.  [default: test, else validation]")] = "",
    kind: Kind = "",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Show mistakes in the report; only where the data's terms allow it.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit the temperature on these faces and keep it with each net.")
    ] = False,
    threads: Annotated[int, typer.Option(help="Threads of a net.", min=1)] = 1,
) -> None:
    """Measure nets on labelled faces: accuracy, recall, calibration, action units, by size and sharpness."""
    with _torch_at_hand():
        from train.evaluate import contestant, faces_at, write_json
        from train.evaluate import evaluate as measure
    from train.report import write_report

    every = [contestant(net, threads) for net in nets]
    with _progress() as told, faces_at(data_path, kind, told) as faces:
        document, answers, rows = measure(every, faces, split)
        _print(document)
        if json_file:
            write_json(document, json_file)
        if report:
            print(f"report: {write_report(report, document, answers, faces, rows, pictures)}")
    if calibrate:
        for one, judged in zip(every, document["nets"], strict=True):
            if "fitted_temperature" not in judged["calibration"]:
                raise BadRequest(f"{one.name}: --calibrate is for expressions; thresholds of units come from training")
            one.calibrate(judged["calibration"]["fitted_temperature"])


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    judged = [*document["nets"], *([document["ensemble"]] if "ensemble" in document else [])]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column(f"{document['data']}, {document['split']}")
    for name in _columns(judged[0]):
        table.add_column(name, justify="right")
    for one in judged:
        table.add_row(one["name"], *_columns(one).values())
    console = Console()
    console.print(table)
    for pair in document.get("agreement", ()):
        console.print(f"{' and '.join(pair['nets'])}: same answer {pair['agreement']:.1%}, κ {pair['kappa']:.3f}")


def _columns(one: dict[str, Any]) -> dict[str, str]:
    if "units" in one:
        shares = {"mean F1": one["mean_f1"], "mean AUC": one["mean_auc"]}
        return {"faces": f"{one['faces']:,}", **{name: "–" if v is None else f"{v:.1%}" for name, v in shares.items()}}
    columns = {}
    for name, each in one["protocols"].items():
        columns[f"{name} ({each['faces']:,})"] = f"{each['accuracy']:.2%}"
    first = next(iter(one["protocols"].values()))
    columns |= {"macro recall": f"{first['macro_recall']:.1%}", "macro F1": f"{first['macro_f1']:.1%}"}
    return columns | {"calibration error": f"{one['calibration']['ece']:.1%}"}


@data.command()
def prepare(
    kind: Annotated[
        str,
        typer.Argument(
            help="ferplus, rafdb, rafdb-original, affectnet8, affectnet7, disfa, disfa+ or bp4d.", metavar="KIND"
        ),
    ],
    path: Annotated[Path, typer.Argument(help="Where the data set lies.")],
    out: Annotated[Path, typer.Option(help="Folder of the prepared set; a run that was interrupted goes on.")],
    edge: Annotated[int, typer.Option(help="Edge of the crops, px.", min=16, max=512)] = 128,
    whole: Annotated[
        bool, typer.Option("--whole", help="Keep small pictures of one size whole; cut and enlarge while training.")
    ] = False,
) -> None:
    """Cut the faces of a data set as live ones are cut, into memory-mapped shards."""
    from train.data import read
    from train.data.prepare import Plan
    from train.data.prepare import prepare as prepare_set

    layout = read(kind, path)
    with _progress() as report:
        manifest = prepare_set(layout, out, Plan(edge, whole), report)
    listed = ", ".join(f"{name} {count:,}" for name, count in manifest["splits"].items())
    left_out = f"; {manifest['left_out']:,} left out: no face" if manifest["left_out"] else ""
    print(f"{out}: {manifest['name']}, {manifest['count']:,} faces ({listed}){left_out}")


@data.command("synthetic-action-units")
def synthetic_action_units(
    folder: Annotated[Path, typer.Argument(help="Folder of the prepared set; a run that was interrupted goes on.")],
    shared: Annotated[
        Path, typer.Option("--data", help="Folder with faces/, ferplus/ and the shapes of ICT-FaceKit.", metavar="DIR")
    ],
    count: Annotated[int, typer.Option(help="How many faces.", min=1)] = 12_288,
    edge: Annotated[int, typer.Option(help="Edge of the crops, px.", min=16, max=192)] = 112,
    seed: Annotated[int, typer.Option(help="The same seed draws the same faces.", min=0)] = 0,
    small: Annotated[int, typer.Option(help="How many people of FER+ beside the sharp portraits.", min=0)] = 1500,
) -> None:
    """Draw faces that move by known action units, from portraits at rest, without a screen."""
    from train.data.synthetic_action_units import Plan, synthesise

    with _progress() as report:
        manifest = synthesise(shared, folder, Plan(count, edge, seed, small), report)
    listed = ", ".join(f"{name} {number:,}" for name, number in manifest["splits"].items())
    print(f"{folder}: {manifest['name']}, {manifest['count']:,} faces ({listed})")


@data.command()
def pack(
    source: Annotated[Path, typer.Argument(metavar="SET", help="A prepared set.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="The one file to write.")],
    splits: Annotated[str, typer.Option(help="Only these splits, separated by commas.")] = "",
) -> None:
    """Put a prepared set into one small file, to carry it to a GPU machine."""
    from train.data.faceset import open_set
    from train.data.faceset import pack as pack_set

    if file.suffix != ".npz":
        raise BadRequest(f"{file}: ends in {file.suffix or 'nothing'!r}, wanted .npz")
    pack_set(open_set(source), file, [name for name in splits.split(",") if name])
    print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


@contextlib.contextmanager
def _torch_at_hand() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise EngineUnavailable(f"{error.name} is not installed; training needs: pip install 'mien[train]'") from error


@contextlib.contextmanager
def _progress() -> Iterator[Report]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done)

        yield report
