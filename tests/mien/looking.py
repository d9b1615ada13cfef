"""Runs inside the test's process: made clips, a follower that always finds one face, engines that know the answer."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from contract.labels import ACTION_UNITS, EXPRESSIONS
from contract.model_card import ModelCard
from ingest.faces.follow import SeenFace
from ingest.settings import IngestSettings
from ingest.sources import Source
from mien.analysis import Analysis
from mien.progress import Watch
from models.engines.deferred import Immediate
from query.store.sqlite import SqliteReader
from worker.pipeline import Worker
from worker.reading.reader import Reader
from worker.store.sqlite import SqliteStore

LANDMARKS = np.array([(24, 18), (40, 18), (32, 26), (26, 33), (38, 33)], np.float32)  # px of a 64×48 picture


class OneFace:
    """A follower that sees the same person in the same place of every frame."""

    def see(self, frame_rgb, media_time_us, /):
        box = np.array([16, 8, 32, 36], np.float32)
        return [SeenFace(track=1, person=1, box_xywh=box, landmarks=LANDMARKS, score=0.9)]


class NoFace:
    """A follower that sees nobody."""

    def see(self, frame_rgb, media_time_us, /):
        return []


class Sure(Immediate):
    """An engine that is sure of one of its labels."""

    def __init__(self, name: str, task: str, top: str, version: str = "1") -> None:
        labels = EXPRESSIONS if task == "expressions" else ACTION_UNITS
        self._logits = np.array([8.0 if label == top else -8.0 for label in labels], np.float32)
        self.card = ModelCard(
            name=name,
            version=version,
            net="none",
            file="",
            sha256=f"{name}{version}".encode().hex().ljust(64, "0")[:64],
            task=task,
            labels=labels,
            input_edge=112,
            output="logits",
            training_data="",
            licence="",
            intended_use="",
            limits="",
        )
        self.crops = 0  # read so far

    def __call__(self, crops):
        self.crops += len(crops)
        return {"logits": np.repeat(self._logits[None], len(crops), axis=0)}


def look(
    sources: Sequence[Source],
    store: SqliteStore,
    engines: Sequence[Sure],
    *,
    follower: type = OneFace,
    settings: IngestSettings | None = None,
    stop: threading.Event | None = None,
) -> Analysis:
    """Look at sources as `mien run` does."""
    analysis = Analysis(
        list(sources), settings or IngestSettings(), lambda source: follower(), store, stop or threading.Event()
    )
    with Watch(Console(quiet=True)) as watch:
        analysis.run(Worker(store, Reader(engines)), watch)
    return analysis


@contextlib.contextmanager
def opened(path: Path) -> Iterator[SqliteStore]:
    """A store, closed at the end."""
    store = SqliteStore(path)
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def snapshot_of(path: Path):
    """One state of a store."""
    with contextlib.closing(SqliteReader(path)) as reader, reader.snapshot() as snapshot:
        yield snapshot
