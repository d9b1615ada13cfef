"""`mien tune`: the worker's settings for this machine."""

from pathlib import Path
from typing import Annotated

import typer


def tune(
    nets: Annotated[str, typer.Option(help="Nets of the worker, separated by commas.")] = "expressions.int8",
    engine: Annotated[str, typer.Option(help="What runs the nets: auto, onnx, torch or tensorrt.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of an engine on the CPU.", min=1)] = 1,
    decode_threads: Annotated[int, typer.Option(help="Threads that decode crops.", min=1)] = 2,
    seconds: Annotated[float, typer.Option(help="Per batch size.", min=0.0)] = 2.0,
    out: Annotated[Path | None, typer.Option(help="Write the choice and its curve as JSON.", metavar="FILE")] = None,
) -> None:
    """Measure batch sizes on this machine and print the worker's command with the best."""
    import sys

    import msgspec

    from mien.tune import tune as measure
    from runtime.files import write_whole
    from worker.reading.nets import engines_of

    names = [name.strip() for name in nets.split(",") if name.strip()]
    engines = engines_of(names, engine, threads)
    try:
        choice = measure(engines, decode_threads, seconds, lambda line: print(line, file=sys.stderr, flush=True))
    finally:
        for each in engines:
            each.close()
    if out is not None:
        write_whole(
            out, msgspec.json.format(msgspec.json.encode({"nets": names, "settings": choice}), indent=2) + b"\n"
        )
    print(
        f"mien worker --nets {','.join(names)} --engine {engine} --threads {threads} --batch-size {choice.batch_size}"
        f" --wait-s {choice.wait_s:g} --decode-threads {decode_threads}"
    )
