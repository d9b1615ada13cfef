"""Batch size and wait of a worker, chosen from what this machine does with its nets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mien.feeding import Feeder, faces_per_s, jpegs
from models.engines import Engine

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NEAR = 0.95  # of the best rate: larger batches gain less than noise, and every face in them waits longer
LEAST_WAIT_S, MOST_WAIT_S = 0.002, 0.1
FALLING = 0.8  # of the best rate: larger batches are not tried any more

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Speed:
    """What a batch size gives."""

    batch: int
    faces_per_s: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The settings for this machine, and the curve they were read off."""

    batch_size: int
    wait_s: float
    decode_threads: int
    curve: tuple[Speed, ...]


def tune(engines: Sequence[Engine], decode_threads: int, seconds: float, say: Say) -> Choice:
    """Read faces in growing batches until more do not help, and return the choice.

    Args:
        engines: the nets of the worker, ready to run.
        decode_threads: of the worker.
        seconds: per batch size.
        say: told a line per batch size.
    """
    crops, curve = jpegs(BATCHES[-1]), list[Speed]()
    for batch in BATCHES:
        for engine in engines:
            engine.warm_up(batch)
        speed = Speed(batch, faces_per_s(Feeder(engines, decode_threads, 2), crops, batch, seconds))
        curve.append(speed)
        say(f"batches of {batch:>3}: {speed.faces_per_s:,.0f} faces/s")
        if speed.faces_per_s < FALLING * max(each.faces_per_s for each in curve):
            break
    return chosen(curve, decode_threads)


def chosen(curve: Sequence[Speed], decode_threads: int) -> Choice:
    """Return the smallest batch that is nearly as fast as the fastest, and the time in which it fills at full load."""
    best = max(each.faces_per_s for each in curve)
    first = next(each for each in curve if each.faces_per_s >= NEAR * best)
    wait_s = min(MOST_WAIT_S, max(LEAST_WAIT_S, first.batch / first.faces_per_s))
    return Choice(first.batch, round(wait_s, 4), decode_threads, tuple(curve))
