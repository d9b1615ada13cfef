"""Sources run through ingest and worker in one process: ingest publishes on the embedded bus, the worker reads it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contract.errors import BadSource
from ingest.pipeline import Following, Stored, Tally
from ingest.run import Run
from ingest.settings import IngestSettings
from ingest.sources import Source
from mien.progress import Standing, Watch
from runtime.bus import InProcessBus
from worker.pipeline import Worker
from worker.store import Store

POLL_S = 0.1


@dataclass(slots=True)
class Analysis:
    """One run over some sources.

    A source that cannot be looked at is noted in `failures` and the others go on; an error of the worker or the
    store ends the run, after everything committed so far.
    """

    sources: list[Source]
    settings: IngestSettings
    new_follower: Callable[[Source], Following]
    store: Store
    stop: threading.Event
    sessions: list[tuple[str, str]] = field(default_factory=list)  # (source, session) in the order of opening
    known: list[str] = field(default_factory=list)  # sources that an earlier run had finished
    failures: dict[str, BadSource] = field(default_factory=dict)  # by source
    frames: int = 0
    faces: int = 0
    first_frame_at: float | None = None  # monotonic s
    ingest_cpu_s: float = 0.0
    _bus: InProcessBus = field(default_factory=InProcessBus)
    _crash: BaseException | None = None

    def run(self, worker: Worker, watch: Watch) -> None:
        """Look at everything; returns when the last record is stored.

        Raises:
            BadStore: the store could not take a batch; earlier batches stay.
        """
        reading = threading.Thread(target=self._read, args=(worker,), name="worker")
        reading.start()
        ingest = Run(
            self.settings, self._bus.publish, self._stored, self.new_follower, self.stop, _Watching(self, watch)
        )
        try:
            ingest.over(self.sources)
        finally:
            self.failures, self.ingest_cpu_s = ingest.failures, ingest.cpu_s
            self._bus.close()
            while reading.is_alive():  # so that Ctrl-C still reaches this thread
                reading.join(POLL_S)
        if self._crash is not None:
            raise self._crash

    def _read(self, worker: Worker) -> None:
        try:
            worker.run(self._bus)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._crash = error
            self.stop.set()  # the sources come to their end; a worker that went has released them already

    def _stored(self, source: str, session: str) -> Stored:
        """Return what the store holds of a session of a file."""
        closed = self.store.is_closed(source, session)
        if closed:
            self.known.append(source)
        return Stored(self.store.high_water(source, session), self.store.interruptions(source, session), closed)

    def statistics(self, worker: Worker, began: float) -> dict[str, Any]:
        """Figures for the bench: counts, and seconds by stage."""
        return {
            "frames": self.frames,
            "faces": self.faces,
            "run_s": time.monotonic() - began,
            "start_up_s": (self.first_frame_at or began) - began,
            "ingest_cpu_s": self.ingest_cpu_s,
            "worker_s": worker.counters.seconds,
        }


class _Watching:
    """Keeps an analysis' figures and shows how far its sources are; an `ingest.run.Observer`."""

    def __init__(self, analysis: Analysis, watch: Watch) -> None:
        self._analysis, self._watch = analysis, watch
        self._standings: dict[str, Standing] = {}

    def opened(self, source: Source, session: str) -> None:
        analysis = self._analysis
        analysis.sessions.append((source.id, session))
        analysis.first_frame_at = analysis.first_frame_at or time.monotonic()
        self._standings.setdefault(source.id, Standing(source.shown))

    def went_on(self, source: Source, tally: Tally) -> None:
        standing = self._standings[source.id]
        standing.frames, standing.total, standing.faces = tally.frames, tally.frames_expected, tally.faces
        self._watch.show(standing)

    def ended(self, source: Source, tally: Tally) -> None:
        if standing := self._standings.pop(source.id, None):
            self._watch.forget(standing)
        self._analysis.frames += tally.frames
        self._analysis.faces += tally.faces
