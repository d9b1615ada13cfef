"""`mien train`, `mien evaluate`, `mien export`, `mien data`: from data sets to weights, numbers and files that run."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from contract.errors import BadRequest, EngineUnavailable
from mien.commands.data import data
from mien.progress import stages

NAME_WIDTH, WIDE = 30, 140  # columns; a file has no width of its own
Kind = Annotated[str, typer.Option(help="Layout of the data, where it cannot be told; see `mien data prepare --help`.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON.")]


def mount(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(soup)
    app.command()(export)
    app.add_typer(data, name="data")


def train(
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe that comes along, or a TOML file; `list` names them.")
    ],
    data_path: Annotated[
        Path | None,
        typer.Option("--data", help="A prepared or packed set, or a data set in a known layout.", metavar="PATH"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help=r"Folder of the run.  \[default: out/train/RECIPE]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder, exactly.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="Weights to begin from, for recipes that do not begin anew.", metavar="FILE")
    ] = None,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="Weights of a net that teaches this one; may be repeated.", metavar="FILE")
    ] = None,
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
    from train.recipe import names, read_recipe, with_files

    if recipe == "list":
        print("\n".join(names()))
        return
    wanted = with_files(read_recipe(recipe), start, teacher or ())
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
    with stages() as report:
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
    split: Annotated[str, typer.Option(help=r"Which split.  \[default: test, else validation]")] = "",
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
        from train.measure.evaluate import contestant, faces_at, write_json
        from train.measure.evaluate import evaluate as measure
    from train.measure.report import write_report

    every = [contestant(net, threads) for net in nets]
    with stages() as told, faces_at(data_path, kind, told) as faces:
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


def soup(
    weights: Annotated[
        list[Path],
        typer.Argument(
            metavar="WEIGHTS…",
            help="Files of `mien train` that began alike; after the first also what they began from.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.", metavar="FILE")],
    data_path: Annotated[
        Path, typer.Option("--data", help="Faces with a validation split, as for `evaluate`.", metavar="PATH")
    ],
    kind: Kind = "",
) -> None:
    """Average the weights of nets that began alike, with the shares that validate best."""
    with _torch_at_hand():
        from train.measure.evaluate import faces_at
        from train.ship.soup import soup as averaged

    with stages() as told, faces_at(data_path, kind, told) as faces:
        averaged(weights, faces, out)


def export(
    weights: Annotated[Path, typer.Argument(help="weights.safetensors of a run, or the run's folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the files.", metavar="DIR")] = Path("out/export"),
    name: Annotated[str, typer.Option(help=r"Of the net.  \[default: the recipe's]")] = "",
    source: Annotated[
        str, typer.Option(help=r"Where the weights come from, for the card.  \[default: what they say of themselves]")
    ] = "",
    data_path: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Faces to measure the files on and to make int8 with, as for `evaluate`.", metavar="PATH"
        ),
    ] = None,
    kind: Kind = "",
) -> None:
    """Write trained weights as ONNX with a card; with --data also as int8, both measured on the faces."""
    with _torch_at_hand():
        from train.measure.evaluate import faces_at
        from train.ship.weights import ship

    typed = f"mien export {weights.name}" + (f" --name {name}" if name else "")
    if data_path is None:
        ship(weights, out, name, None, typed, source)
        return
    with stages() as told, faces_at(data_path, kind, told) as faces:
        ship(weights, out, name, faces, f"{typed} --data {data_path.name}", source)


def _print(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    judged = [*document["nets"], *([document["ensemble"]] if "ensemble" in document else [])]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column(f"{document['data']}, {document['split']}", overflow="fold", min_width=NAME_WIDTH)
    for name in _columns(judged[0]):
        table.add_column(name, justify="right")
    for one in judged:
        table.add_row(one["name"], *_columns(one).values())
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
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


@contextlib.contextmanager
def _torch_at_hand() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise EngineUnavailable(f"{error.name} is not installed; training needs: pip install 'mien[train]'") from error
