import threading
from pathlib import Path

import numpy as np
import pytest

from contract.errors import StoreUnwritable
from contract.model_card import ModelCard
from ingest.faces.detect import CenterFace
from ingest.faces.follow import Follower
from ingest.settings import IngestSettings
from ingest.sources import sources_of
from mien.analysis import Analysis
from mien.progress import Watch
from models.engines.deferred import Immediate
from worker.pipeline import Worker
from worker.reading.reader import Reader
from worker.store.sqlite import SqliteStore


class Even(Immediate):
    """An engine that finds every label equally likely."""

    card = ModelCard(
        name="even",
        version="1",
        net="none",
        file="",
        sha256="0" * 64,
        task="expressions",
        labels=("neutral", "happiness"),
        input_edge=112,
        output="logits",
        training_data="",
        licence="",
        intended_use="",
        limits="",
    )

    def __call__(self, crops):
        return {"logits": np.zeros((len(crops), 2), np.float32)}


class FailsWhen(SqliteStore):
    """A store on a disk that is full when the named method is called."""

    def __init__(self, path: Path, method: str) -> None:
        super().__init__(path)
        setattr(self, method, self._fail)

    def _fail(self, *_arguments, **_options):
        raise StoreUnwritable("no room left on the disk")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", ["is_closed", "take", "commit"])
def test_a_store_that_fails_ends_the_run_with_its_error(face_clip, tmp_path, method):
    from rich.console import Console

    store = FailsWhen(tmp_path / "s.db", method)
    detector = CenterFace()
    analysis = Analysis(
        sources_of([str(face_clip)]), IngestSettings(), lambda source: Follower(detector), store, threading.Event()
    )

    with Watch(Console(quiet=True)) as watch, pytest.raises(StoreUnwritable):
        analysis.run(Worker(store, Reader([Even()])), watch)

    assert [thread.name for thread in threading.enumerate() if thread.name in {"worker", "ingest"}] == []
    store.close()
