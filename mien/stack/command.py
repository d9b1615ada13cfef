"""`mien stack`: real Kafka and Redis on this machine, for trying out and for tests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.extras import check_cluster_installed

if TYPE_CHECKING:
    from rich.table import Table

    from mien.stack.process import Server
    from mien.stack.stack import Stack

app = typer.Typer(help="Kafka and Redis on this machine, without Docker.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option(help=r"Data and logs.  \[default: $MIEN_STACK or ~/.cache/mien/stack]", metavar="DIR")
]


@app.command()
def up(
    folder: Folder = None,
    brokers: Annotated[
        int | None, typer.Option(help=r"1, or 3 that hold three copies.  \[default: 1]", min=1, max=3)
    ] = None,
    replica: Annotated[
        bool | None, typer.Option("--replica/--no-replica", help="A second Redis that follows the first.")
    ] = None,
    min_replicas: Annotated[
        int | None,
        typer.Option(help=r"Replicas in touch without which Redis takes no writes.  \[default: 0]", min=0, max=1),
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(help=r"Of the topics; fixed when they are made.  \[default: 12]", min=1)
    ] = None,
    kafka_port: Annotated[int, typer.Option(help="Of the first broker; 0 takes a free one.", min=0, max=65535)] = 0,
    redis_port: Annotated[int, typer.Option(help="Of Redis; 0 takes a free one.", min=0, max=65535)] = 0,
) -> None:
    """Start Kafka and Redis and wait until they answer; `eval "$(mien stack up)"` sets the addresses.

    What is not said is as it was the last time in this folder.
    """
    check_cluster_installed()
    from rich.console import Console

    from mien.stack.stack import Stack
    from mien.stack.state import Shape, read_state

    console = Console(stderr=True, highlight=False)
    folder = folder or default_folder()
    state = read_state(folder)
    old = Shape() if state is None else state.shape
    with console.status("starting") as status:
        stack = Stack(
            folder,
            brokers=old.brokers if brokers is None else brokers,
            redis=old.redis,
            replica=old.replica if replica is None else replica,
            min_replicas=old.min_replicas if min_replicas is None else min_replicas,
            partitions=old.partitions if partitions is None else partitions,
            redis_config=old.redis_config,
            kafka_port=kafka_port,
            redis_port=redis_port,
            say=status.update if console.is_terminal else console.print,
        )
        was_up = stack.is_up()
        stack.up()
    console.print(_servers(stack))
    said = "was up already" if was_up else "is up"
    console.print(
        f"The stack {said}; data and logs in {_short(stack.folder)}; `mien stack down` ends it.\n", style="dim"
    )
    print(f"export MIEN_KAFKA_BOOTSTRAP={stack.bootstrap} MIEN_REDIS_URL={stack.redis_url}")


@app.command()
def down(
    folder: Folder = None, purge: Annotated[bool, typer.Option("--purge", help="Throw the data away too.")] = False
) -> None:
    """End Kafka and Redis; the data stay."""
    stack = _found(folder)
    running = [name for name, server in stack.processes.items() if server.is_running()]
    stack.down(purge)
    ended = f"ended {', '.join(running)}" if running else "nothing was running"
    print(f"{ended}; {'the data are gone' if purge else f'the data stay in {_short(stack.folder)}'}")


@app.command()
def status(folder: Folder = None) -> None:
    """Show servers and topics; exit code 1 where something does not answer."""
    from rich.console import Console

    stack = _found(folder)
    console = Console(highlight=False)
    problems = {name: _condition(server) for name, server in stack.processes.items()}
    console.print(_servers(stack, problems))
    if not any(problem for name, problem in problems.items() if name.startswith("kafka")) and stack.bootstrap:
        console.print(_topics(stack.bootstrap))
    if any(problems.values()):
        raise typer.Exit(1)


def default_folder() -> Path:
    """Where `mien stack` keeps its data when nothing else is said."""
    return Path(os.environ.get("MIEN_STACK") or Path.home() / ".cache" / "mien" / "stack")


def _found(folder: Path | None) -> "Stack":
    from mien.stack.stack import Stack

    where = folder or default_folder()
    stack = Stack.found(where)
    if stack is None:
        print(f"no stack in {_short(where)}; `mien stack up` starts one")
        raise typer.Exit(1)
    return stack


def _condition(server: "Server") -> str:
    """What is wrong with it; empty when it answers."""
    if not server.is_running():
        return "not running"
    return "frozen" if server.is_stopped() else server.problem()


def _servers(stack: "Stack", problems: dict[str, str] | None = None) -> "Table":
    table = _table("server", "address", "pid>", "age>", "memory>", "state")
    for name, server in stack.processes.items():
        problem = (problems or {}).get(name, "")
        running = server.is_running()
        table.add_row(
            name,
            server.address,
            str(server.pid) if running else "–",
            _age(server.age_s()) if running else "–",
            f"{server.resident_bytes() / 1e6:.0f} MB" if running else "–",
            f"[red]{problem}[/]" if problem else "[green]answers[/]",
        )
    return table


def _topics(bootstrap: str) -> "Table":
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    from mien.stack.kafka import admin

    table = _table("topic", "partitions>", "copies>", "in sync>", "records>")
    client = admin(bootstrap)
    try:
        for topic in sorted(client.describe_topics(), key=lambda topic: str(topic["name"])):
            if topic["is_internal"]:
                continue
            places = [TopicPartition(topic["name"], each["partition_index"]) for each in topic["partitions"]]
            first = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
            last = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
            table.add_row(
                topic["name"],
                str(len(places)),
                str(min(len(each["replica_nodes"]) for each in topic["partitions"])),
                str(min(len(each["isr_nodes"]) for each in topic["partitions"])),
                f"{sum(last[place].offset - first[place].offset for place in places):,}",
            )
    finally:
        client.close()
    return table


def _table(*columns: str) -> "Table":
    """A table without a frame; a column whose name ends in > is aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    return table


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _short(folder: Path) -> str:
    """The folder, with ~ for home."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
