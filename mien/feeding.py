"""JPEG crops through decoding and nets, as a worker does it: how many faces per second, and how long one waits."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.engines import Engine, Ticket
from worker.reading.crops import Decoder, UnreadableCrop, resized

CROP_EDGE = 160  # px, as a producer cuts them
QUALITY = 90


@dataclass(frozen=True, slots=True)
class Load:
    """What came of offering faces at a steady rate."""

    faces_per_s: float  # offered
    p50_ms: float  # from a face's arrival to its reading
    p99_ms: float
    mean_batch: float  # faces


class Feeder:
    """Decodes crops and gives them to engines, with so many batches in flight.

    Args:
        engines: each reads every face.
        threads: that decode.
        in_flight: 1: a batch is collected before the next is decoded; 2: the next is decoded meanwhile.
    """

    def __init__(self, engines: Sequence[Engine], threads: int, in_flight: int) -> None:
        self._engines, self._decode, self._depth = tuple(engines), Decoder(threads), in_flight
        self._waiting: deque[tuple[list[Ticket], Callable[[], None]]] = deque()

    def put(self, jpegs: Sequence[bytes], done: Callable[[], None]) -> None:
        """Begin a batch; `done` is called once it is read, at the latest when so many others follow."""
        pictures = [each for each in self._decode(jpegs) if not isinstance(each, UnreadableCrop)]
        sized = {edge: resized(pictures, edge) for edge in {engine.card.input_edge for engine in self._engines}}
        while len(self._waiting) >= self._depth:
            self.take()
        tickets = [engine.submit(sized[engine.card.input_edge]) for engine in self._engines]
        self._waiting.append((tickets, done))
        if self._depth == 1:
            self.take()

    def take(self) -> None:
        """Collect the oldest batch, where there is one."""
        if self._waiting:
            tickets, done = self._waiting.popleft()
            for ticket in tickets:
                ticket.collect()
            done()

    def finish(self) -> None:
        """Collect all batches."""
        while self._waiting:
            self.take()


def jpegs(count: int) -> list[bytes]:
    """Return crops as a producer sends them: smooth colours with grain, so that they are as large as faces are."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        coarse = cv2.resize(random.integers(0, 256, (10, 10, 3), np.uint8), (CROP_EDGE, CROP_EDGE))
        grain = random.normal(0, 4, coarse.shape)
        picture: NDArray[np.uint8] = np.clip(coarse + grain, 0, 255).astype(np.uint8)
        made.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    return made


def faces_per_s(feeder: Feeder, crops: Sequence[bytes], batch: int, budget_s: float) -> float:
    """Return how many faces are read per second in batches of this size; two batches go before, uncounted."""
    batches = [crops[at : at + batch] for at in range(0, len(crops) - batch + 1, batch)]
    for each in batches[:2]:
        feeder.put(each, lambda: None)
    feeder.finish()
    began, read, place = time.perf_counter(), 0, 0
    while read == 0 or time.perf_counter() - began < budget_s:
        feeder.put(batches[place % len(batches)], lambda: None)
        read, place = read + batch, place + 1
    feeder.finish()
    return read / (time.perf_counter() - began)


def under_load(feeder: Feeder, crops: Sequence[bytes], rate: float, batch: int, wait_s: float, seconds: float) -> Load:
    """Offer faces at a rate, at random moments, and return how long they waited for their reading.

    Args:
        feeder: reads them.
        crops: shown in turn.
        rate: faces per second.
        batch: the most that are read together.
        wait_s: a batch leaves with fewer when its first face is so old.
        seconds: how long.
    """
    arrivals = np.cumsum(np.random.default_rng(0).exponential(1 / rate, max(1, math.ceil(rate * seconds))))
    began, first, waits, sizes = time.perf_counter(), 0, list[float](), list[int]()

    def now() -> float:
        return time.perf_counter() - began

    while first < len(arrivals):
        come = int(np.searchsorted(arrivals, now(), side="right"))
        full, old = come - first >= batch, come > first and now() - arrivals[first] >= wait_s
        if not (full or old or come == len(arrivals)):
            feeder.take()  # idle: what is in flight is not kept waiting for the next batch
            pause = (arrivals[first] + wait_s if come > first else arrivals[first]) - now()
            time.sleep(min(max(pause, 0.0), 0.002))
            continue
        last = min(come, first + batch)
        some = arrivals[first:last]
        feeder.put(
            [crops[place % len(crops)] for place in range(first, last)],
            lambda some=some: waits.extend(now() - some),  # type: ignore[misc]
        )
        sizes.append(last - first)
        first = last
    feeder.finish()
    p50, p99 = np.percentile(waits, [50, 99])
    return Load(rate, 1e3 * float(p50), 1e3 * float(p99), float(np.mean(sizes)))
