"""`python -m bench [PART…]`: speed, tracking, recall, nets, commits, …, query; all of them without a name."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.clips import Clip, clips
from bench.speed import Run, plain_ms, recall_and_false_positives, run_once, stage_ms

ROUNDS = 3
SPEED_COLUMNS = (
    "clip",
    "frames/s",
    "with start-up",
    "CPU ms/frame",
    "× plain",
    "recall",
    "false/frame",
    "peak MiB",
    "start-up",
)


def speed(console: Console) -> None:
    """`mien run` on the two clips; the best of three rounds, for the machine may be shared."""
    folder = Path("out/bench")
    folder.mkdir(parents=True, exist_ok=True)
    made = clips(folder)
    for clip in made:
        clip.make()
    runs: dict[str, list[Run]] = {clip.name: [] for clip in made}
    for _ in range(ROUNDS):
        for clip in made:
            runs[clip.name].append(run_once(clip))
    console.print(_speed_table(made, runs))
    console.print(_stage_table({clip.name: stage_ms(clip) for clip in made}))


def _speed_table(made: Sequence[Clip], runs: Mapping[str, Sequence[Run]]) -> Table:
    table = Table(title="mien run, whole process, best of 3", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in SPEED_COLUMNS:
        table.add_column(name, justify="left" if name == "clip" else "right")
    for clip in made:
        best = min(runs[clip.name], key=lambda run: run.wall_s)
        cpu_ms = 1e3 * min(run.cpu_s for run in runs[clip.name]) / clip.frames
        recall, wrong = recall_and_false_positives(clip, best.document)
        table.add_row(
            clip.name,
            f"{clip.frames / (best.wall_s - best.start_up_s):.0f}",
            f"{clip.frames / best.wall_s:.0f}",
            f"{cpu_ms:.1f}",
            f"{plain_ms(clip) / cpu_ms:.1f}",
            f"{recall:.4f}",
            f"{wrong:.4f}",
            f"{max(run.peak_mib for run in runs[clip.name]):.0f}",
            f"{statistics.median(run.start_up_s for run in runs[clip.name]):.2f} s",
        )
    return table


def _stage_table(rows: Mapping[str, Mapping[str, float]]) -> Table:
    stages = Table(title="\nCPU ms per frame and stage", title_justify="left", box=None, padding=(0, 2, 0, 0))
    stages.add_column("clip")
    for stage in next(iter(rows.values())):
        stages.add_column(stage, justify="right")
    for name, spent in rows.items():
        whole = sum(spent.values())
        stages.add_row(name, *(f"{ms:.2f} ({ms / whole:.0%})" for ms in spent.values()))
    return stages


def tracking(console: Console) -> None:
    """Identity on the clip of crossing people."""
    from bench.tracking import main

    main()


def crossings(console: Console) -> None:
    """Identity in made scenes of other people; minutes, the first time many."""
    from bench.crossings import main

    main()


def recall(console: Console) -> None:
    """The detector on annotated pictures."""
    from bench.recall import main

    main()


def nets(console: Console) -> None:
    """ONNX Runtime on the four nets; needs torch."""
    from bench.nets import main

    main()


def commits(console: Console) -> None:
    """The two stores; needs redis-server for the second."""
    from bench.commits import main

    main()


def cluster(console: Console) -> None:
    """Kafka and Redis: a worker's throughput, and the whole service; needs Java and redis-server."""
    from bench.cluster import main

    main()


def memory(console: Console) -> None:
    """A worker over a million faces; some minutes."""
    from bench.memory import main

    main()


def query(console: Console) -> None:
    """The query service under load, from SQLite and Redis; needs redis-server for the second."""
    from bench.query import main

    main(console)


def gpu(console: Console) -> None:
    """Each net against the card's bound, and the worker's reading; on the CPU where there is no card."""
    from bench.card.main import main

    main([])


def sizing(console: Console) -> None:
    """The formulas of `mien size` beside a simulation of 100,000 cameras."""
    from bench.sizing import sizing as check

    check(console)


PARTS = {
    "speed": speed,
    "tracking": tracking,
    "crossings": crossings,
    "recall": recall,
    "nets": nets,
    "commits": commits,
    "cluster": cluster,
    "memory": memory,
    "query": query,
    "sizing": sizing,
}


def main() -> None:
    """Run the named parts, or all."""
    console = Console(highlight=False, width=120)
    if sys.argv[1:2] == ["gpu"]:  # it has options of its own
        from bench.card.main import main as measure

        measure()
        return
    unknown = [name for name in sys.argv[1:] if name not in PARTS]
    if unknown:
        sys.exit(f"bench: no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    for name in sys.argv[1:] or list(PARTS):
        sys.argv[1:] = []  # parts that are commands of their own read options there
        PARTS[name](console)


if __name__ == "__main__":
    main()
