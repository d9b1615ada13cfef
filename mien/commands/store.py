"""`mien store`: what a store states, compared with what is there."""

from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from contract.exit_codes import BAD_INPUT

LINES = 20  # more say nothing new

store_app = typer.Typer(help="Look after a store.", no_args_is_help=True)


@store_app.callback()
def store() -> None:
    """Look after a store."""


@store_app.command()
def check(
    place: Annotated[
        str, typer.Argument(metavar="STORE", help="A store file, or redis://host:port.", show_default=False)
    ],
) -> None:
    """Compare the points that are there with those that each person's row states; change nothing."""
    from pathlib import Path

    from query.store.choose import is_address, shown
    from worker.store.audit import flaws_of_file, flaws_of_redis

    console = Console(highlight=False, soft_wrap=True, markup=False)
    flaws = flaws_of_redis(place) if is_address(place) else flaws_of_file(Path(place))
    first = list(islice(flaws, LINES))
    for line in first:
        console.print(line)
    if not first:
        console.print(f"{shown(place)}: everything that it states is there")
        return
    more = sum(1 for _ in flaws)
    console.print(f"{shown(place)}: {len(first) + more} flaws; restore it from a copy, or read the log anew")
    raise typer.Exit(BAD_INPUT)
