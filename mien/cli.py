"""The command line. A command imports the heavy things that it runs when it runs: nets, pictures, servers, torch."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import BadRequest
from ingest.__main__ import command as ingest_command
from mien import __version__
from mien.commands import study
from mien.commands import train as training
from mien.commands.engine import app as engine_app
from mien.commands.manual import completion, manual
from mien.commands.service import install_service
from mien.commands.size import size
from mien.commands.store import store_app
from mien.commands.tune import tune
from mien.stack.command import app as stack_app
from query.__main__ import command as serve_command
from worker.__main__ import command as worker_command

app = typer.Typer(
    name="mien",
    help="Cameras and video files in, per-person facial-expression timelines out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

OUTPUT, ANALYSIS, SERVER = "Output", "Analysis", "Server"
STORE = typer.Argument(
    metavar="STORE",
    help="A file that `mien run --store` wrote, or the Redis of workers: redis://host:port.",
    envvar="MIEN_REDIS_URL",
    show_default=False,
)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Cameras and video files in, per-person facial-expression timelines out."""
    if show:
        print(f"mien {__version__}")
        raise typer.Exit


@app.command()
def run(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="Videos, pictures, folders of them, or rtsp:// cameras; NAME=FILE calls one NAME.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call the only source.", show_default=False, metavar="NAME")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Look into the folders of folders too.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the timelines to FILE.json, .csv or .parquet.", rich_help_panel=OUTPUT, metavar="FILE"
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Keep the timelines in this SQLite file; the same video again continues or adds nothing. "
            "Without it they live as long as the run.",
            rich_help_panel=OUTPUT,
            metavar="FILE.db",
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Keep one small picture of each person.", rich_help_panel=OUTPUT)
    ] = False,
    every_n: Annotated[
        int | None, typer.Option(help=r"Look at every n-th frame.  \[default: 1]", min=1, rich_help_panel=ANALYSIS)
    ] = None,
    sample_hz: Annotated[
        float | None,
        typer.Option(help="Look at this many frames per second of video instead.", rich_help_panel=ANALYSIS),
    ] = None,
    track: Annotated[
        int | None,
        typer.Option(
            help=r"Of a file with several pictures, look at this track, counted from 1.  \[default: the film]",
            min=1,
            show_default=False,
            rich_help_panel=ANALYSIS,
        ),
    ] = None,
    detect_every: Annotated[
        int | None,
        typer.Option(
            help=r"Search every k-th frame for faces and follow them between.  \[default: 5]",
            min=1,
            rich_help_panel=ANALYSIS,
        ),
    ] = None,
    nets: Annotated[
        str,
        typer.Option(
            help="Nets that read the faces, separated by commas: names, see `mien models`, or cards (.json).",
            rich_help_panel=ANALYSIS,
        ),
    ] = "expressions.int8",
    engine: Annotated[
        str,
        typer.Option(help="What runs the nets: auto, onnx, torch or tensorrt.", rich_help_panel=ANALYSIS),
    ] = "auto",
    min_quality: Annotated[
        float,
        typer.Option(
            help="Leave out faces whose quality (size, sharpness, pose) is lower.",
            min=0,
            max=1,
            rich_help_panel=ANALYSIS,
        ),
    ] = 0.0,
    recorded_at: Annotated[
        str | None,
        typer.Option(
            help="When the first frame was recorded: 2026-11-21T09:30:00+01:00, for each file the pattern of its name "
            "and its zone ('%Y%m%d_%H%M%S Europe/Berlin'), a table .csv (columns file, recorded_at), or «container».",
            rich_help_panel=ANALYSIS,
            metavar="TIME",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="Look at a part only: from here, such as 90 or 1:30.", rich_help_panel=ANALYSIS),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Likewise; exclusive.", rich_help_panel=ANALYSIS)] = None,
    serve: Annotated[
        bool | None,
        typer.Option(
            "--serve/--no-serve",
            help=r"Show the dashboard until Ctrl-C.  \[default: serve, unless --out is given]",
            show_default=False,
            rich_help_panel=SERVER,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=SERVER)] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535, rich_help_panel=SERVER)] = 8000,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Serve everybody who reaches an address beyond loopback.", rich_help_panel=SERVER
        ),
    ] = False,
    statistics: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Look at videos, pictures and cameras: a timeline of each person, as a table, a file, an API and a dashboard."""
    from ingest.faces.follow import DETECT_EVERY
    from ingest.settings import IngestSettings
    from mien.clock import media_time
    from mien.run import RunRequest, run_all
    from query.listen import Listen

    request = RunRequest(
        sources=tuple(sources),
        name=name,
        recursive=recursive,
        recorded_at=recorded_at,
        out=out,
        store=store,
        ingest=IngestSettings(
            every_n=every_n,
            sample_hz=sample_hz,
            track=track,
            detect_every=detect_every or DETECT_EVERY,
            min_quality=min_quality,
            begin=media_time(begin, "--from"),
            end=media_time(end, "--to"),
            keeps_pictures=pictures,
        ),
        nets=tuple(name.strip() for name in nets.split(",") if name.strip()),
        engine=engine,
        serve=serve if serve is not None else out is None,
        listen=Listen(host=host, port=port, insecure=insecure),
        statistics=statistics,
    )
    raise typer.Exit(run_all(request))


@app.command()
def demo(
    path: Annotated[Path, typer.Argument(help="Where to write the clip.")] = Path("demo.mp4"),
    force: Annotated[bool, typer.Option("--force", help="Make it anew if it is there.")] = False,
) -> None:
    """Make a demonstration clip: NASA's portrait of an astronaut, moving and zooming."""
    from mien.demo import make_demonstration

    if force or not path.exists():
        make_demonstration(path)
    print(f"demonstration clip: {path}")


class Shape(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@app.command()
def query(
    store: Annotated[str, STORE],
    person: Annotated[
        str | None, typer.Argument(help="A person's id; without it, sources and people are listed.", show_default=False)
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="Seconds since the first frame, or an ISO 8601 instant.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Likewise; exclusive.")] = None,
    every: Annotated[str | None, typer.Option(help="Mean over stretches of this length: 0.2s, 1s, 1m.")] = None,
    channels: Annotated[
        str | None, typer.Option(help="Only these channels and formulas, such as happiness,smile=AU12+0.5*AU6.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Take a face at rest off all values: auto, a stretch FROM..TO in seconds, or a person's id."),
    ] = None,
    shape: Annotated[Shape, typer.Option("--format", help="How to print it.")] = Shape.TABLE,
    everybody: Annotated[
        bool, typer.Option("--all", help="Everybody's timelines, one under the other; --out writes them to a file.")
    ] = False,
    out: study.Out = None,
    keys: study.KeysFile = None,
    key_pattern: study.Pattern = None,
) -> None:
    """Ask a store: who was seen, and a person's timeline."""
    from mien.commands.query import Asked, print_people, print_timeline

    if everybody:
        from mien.commands.studies import Study, export

        if person is not None or begin or end:
            raise BadRequest("--all is everybody from begin to end; wanted it without PERSON, --from and --to")
        export(
            Study(store=store, channels=channels, baseline=baseline, keys=keys, key_pattern=key_pattern, out=out), every
        )
        return
    if out or keys or key_pattern:
        raise BadRequest("--out, --keys and --key-pattern go with --all: mien query STORE --all --every 1s --out FILE")
    if person is None and (begin or end or every or channels or baseline):
        raise BadRequest("--from, --to, --every and --channels ask for one person: mien query STORE PERSON …")
    if person is None:
        print_people(store, shape.value)
    else:
        wanted = Asked(begin=begin, end=end, every=every, channels=channels, baseline=baseline)
        print_timeline(store, person, wanted, shape.value)


@app.command()
def models() -> None:
    """List the shipped weights, and what each net costs."""
    from mien.commands.models import print_models

    print_models()


app.command("ingest")(ingest_command)
app.command("worker")(worker_command)
app.command("serve")(serve_command)
app.command("size")(size)
app.command("install-service")(install_service)
study.mount(app)
app.command("completion")(completion)
app.command("manual")(manual)
training.mount(app)
app.command()(tune)
app.add_typer(engine_app, name="engine")
app.add_typer(stack_app, name="stack")
app.add_typer(store_app, name="store")
