"""`mien summary`, `mien episodes`, `mien responses`: the options. What they run is imported then."""

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE", help="A store file, or redis://host:port.", envvar="MIEN_REDIS_URL", show_default=False
    ),
]
Source = Annotated[str | None, typer.Option(help="Only people of this source.")]
Channels = Annotated[
    str | None, typer.Option(help="Channels and formulas, such as happiness,smile=AU12+0.5*AU6.", show_default=False)
]
BaselineText = Annotated[
    str | None,
    typer.Option(help="Take each face at rest off: auto, a stretch FROM..TO in seconds, or a person's id."),
]
KeysFile = Annotated[
    Path | None, typer.Option("--keys", help="CSV with a column source; its other columns stand in every row.")
]
Pattern = Annotated[
    str | None,
    typer.Option("--key-pattern", help=r"Named groups of a pattern on file names, such as (?P<participant>p\d+)."),
]
Out = Annotated[
    Path | None, typer.Option(help="File to write; the ending says the format.", metavar="FILE", show_default=False)
]
On = Annotated[float, typer.Option(help="An episode begins with a value of at least this.")]
Off = Annotated[float | None, typer.Option(help=r"It ends with one below this.  \[default: --on]", show_default=False)]
Least = Annotated[float, typer.Option(help="Leave out episodes that are shorter; seconds.", min=0)]


def summary(
    store: Store,
    source: Source = None,
    channels: Channels = None,
    baseline: BaselineText = None,
    on: Annotated[float | None, typer.Option(help="Count episodes of at least this value, too.")] = None,
    off: Off = None,
    least: Least = 0.0,
    keys: KeysFile = None,
    key_pattern: Pattern = None,
    out: Out = None,
) -> None:
    """One row per person: when they were seen and what they showed."""
    from mien.commands.studies import Study, summarise
    from query.analysis.episodes import Rule

    rule = None if on is None else Rule(on=on, off=on if off is None else off, least_s=least)
    summarise(
        Study(
            store=store,
            source=source,
            channels=channels,
            baseline=baseline,
            keys=keys,
            key_pattern=key_pattern,
            out=out,
        ),
        rule,
    )


def episodes(
    store: Store,
    source: Source = None,
    channels: Channels = None,
    on: On = 0.5,
    off: Off = None,
    least: Least = 0.0,
    baseline: BaselineText = None,
    keys: KeysFile = None,
    key_pattern: Pattern = None,
    out: Out = None,
) -> None:
    """When values rise over a threshold and stay; also for ELAN, Praat, BORIS and as subtitles."""
    from mien.commands.studies import Study, give_episodes
    from query.analysis.episodes import Rule

    give_episodes(
        Study(
            store=store,
            source=source,
            channels=channels,
            baseline=baseline,
            keys=keys,
            key_pattern=key_pattern,
            out=out,
        ),
        Rule(on=on, off=on if off is None else off, least_s=least),
    )


def responses(
    store: Store,
    markers: Annotated[Path, typer.Option(help="CSV with the columns t (s), and marker, source if needed.")],
    window: Annotated[str, typer.Option(help="FROM..TO around the marker, seconds.")] = "-1..5",
    step: Annotated[float, typer.Option(help="Length of a bin, seconds.")] = 0.1,
    source: Source = None,
    channels: Channels = None,
    out: Out = None,
) -> None:
    """What people do around events: the mean difference to the time before, with its 95 % interval."""
    from mien.commands.studies import Study, give_responses

    give_responses(Study(store=store, source=source, channels=channels, out=out), markers, window, step)


def mount(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (summary, episodes, responses):
        app.command()(command)
