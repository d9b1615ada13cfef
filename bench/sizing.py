"""`python -m bench sizing`: do the formulas of `mien size` hold? The real partitioner and batcher, a modelled engine.

Every camera of every cell is put on a partition by `contract.topics.partition_of`; partitions go to workers in blocks,
as Kafka's range assignor does it. Names are random: numbered ones spread more evenly (1.07, not 1.27).
The fullest worker of all is then run in virtual time: faces arrive at random, the real `worker.batch.in_batches` cuts
them, and an engine takes a fixed time a batch and a fixed time a face.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from contract.records import Delivery, Progress
from contract.topics import partition_of
from mien.commands.size import Load, Rates, Size, size_of
from worker.batch import in_batches

BATCH, WAIT_S = 64, 0.1  # worker/settings.py
BATCH_S = 0.002  # of an engine and a commit, whatever the batch holds
SIMULATED_S = 20.0
POLL_S = 0.02  # how often the log reports that nothing came


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the simulation saw beside what the formulas promise."""

    size: Size
    fullest: float  # cameras of the fullest worker of all cells over the mean
    promised: float  # the same by the formula
    load: float  # share of its time in which the fullest worker works
    fresh_p99_s: float  # from a face's arrival to its commit, fullest worker
    mean_batch: float


def simulate(load: Load, rates: Rates | None = None, seed: int = 1) -> Outcome:
    """Return how the fullest worker of a site of this size fares."""
    rates = rates or Rates()
    size = size_of(load, rates)
    workers = size.workers // size.cells
    counts = np.concatenate([cameras_per_worker(size, workers, cell) for cell in range(size.cells)])
    mean = size.cameras_per_cell / workers
    rate = float(counts.max()) * load.fps * load.faces
    busy, waits, batches = _worked(rate, rates, np.random.default_rng(seed))
    return Outcome(
        size,
        fullest=float(counts.max()) / mean,
        promised=1 + size.unevenness,
        load=busy,
        fresh_p99_s=float(np.quantile(waits, 0.99)),
        mean_batch=float(np.mean(batches)),
    )


def cameras_per_worker(size: Size, workers: int, cell: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return how many cameras of a cell each worker gets."""
    rng = np.random.default_rng(cell)
    names = (rng.bytes(6).hex() for _ in range(size.cameras_per_cell))
    partitions = np.fromiter((partition_of(name, size.partitions) for name in names), np.int64)
    of_partition = np.bincount(partitions, minlength=size.partitions)
    return np.array([block.sum() for block in np.array_split(of_partition, workers)])


class _Clock:
    """Virtual time: the arrival of faces moves it, and so does the engine."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _worked(rate: float, rates: Rates, rng: np.random.Generator) -> tuple[float, list[float], list[int]]:
    """Run one worker in virtual time; return (share of time at work, waits of all faces, sizes of batches)."""
    arrivals = np.sort(rng.uniform(0, SIMULATED_S, rng.poisson(rate * SIMULATED_S)))
    clock, busy_s = _Clock(), 0.0
    waits: list[float] = []
    sizes: list[int] = []
    for batch in in_batches(_delivered(arrivals, clock), BATCH, WAIT_S, clock):
        spent_s = BATCH_S + len(batch) / rates.worker_per_s
        clock.now += spent_s
        busy_s += spent_s
        waits += [clock.now - arrivals[delivery.offset] for delivery in batch]
        sizes.append(len(batch))
    return busy_s / max(clock.now, SIMULATED_S), waits, sizes


def _delivered(arrivals: np.ndarray[tuple[int], np.dtype[np.float64]], clock: _Clock) -> Iterator[Delivery | None]:
    """Yield each face when it is there, and None while there is none, as a log does."""
    record = Progress(source="camera", session="s", sequence=0, event_time=0, frames=1, looked_at=1, closed=False)
    for offset, arrival in enumerate(arrivals):
        while clock.now < arrival:
            step = min(POLL_S, arrival - clock.now)
            clock.now += step
            if step == POLL_S:
                yield None
        yield Delivery(log="log", partition=0, offset=offset, record=record)


def sizing(console: Console) -> None:
    """Print formulas beside the simulation for 10, 1,000 and 100,000 cameras."""
    table = Table(title="mien size, checked in virtual time", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in (
        "cameras",
        "faces/s",
        "cells",
        "workers",
        "partitions",
        "fullest",
        "formula",
        "its load",
        "p99",
        "batch",
    ):
        table.add_column(name, justify="right")
    for cameras in (10, 1_000, 100_000):
        seen = simulate(Load(cameras=cameras))
        table.add_row(
            f"{cameras:,}",
            f"{seen.size.faces_per_s:,.0f}",
            f"{seen.size.cells}",
            f"{seen.size.workers:,}",
            f"{seen.size.partitions}",
            f"{seen.fullest:.2f}",
            f"{seen.promised:.2f}",
            f"{seen.load:.0%}",
            f"{1e3 * seen.fresh_p99_s:.0f} ms",
            f"{seen.mean_batch:.1f}",
        )
    console.print(table)
