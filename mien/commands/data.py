"""`mien data`: data sets become prepared sets."""

from pathlib import Path
from typing import Annotated

import typer

from contract.errors import BadRequest
from mien.progress import stages

data = typer.Typer(help="Prepare and pack data sets.", no_args_is_help=True)


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
    with stages() as report:
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

    with stages() as report:
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
