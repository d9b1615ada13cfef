"""Sources run through ingest and worker: files one after the other, each camera beside them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from contract.errors import BadSource
from ingest.pipeline import Following, Stored, Tally, records_of
from ingest.settings import IngestSettings
from ingest.sources import Source
from mien.progress import Standing, Watch
from runtime.bus import BusClosed, InProcessBus
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
        reading = threading.Thread(target=self._guarded, args=(partial(worker.run, self._bus),), name="worker")
        reading.start()
        telling = [
            threading.Thread(target=self._guarded, args=(partial(self._tell, group, watch),), name="ingest")
            for group in self._groups()
        ]
        for thread in telling:
            thread.start()
        for thread in telling:
            _join(thread)
        self._bus.close()
        _join(reading)
        if self._crash is not None:
            raise self._crash

    def _groups(self) -> Iterator[list[Source]]:
        files = [source for source in self.sources if not source.live]
        if files:
            yield files
        yield from ([source] for source in self.sources if source.live)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BusClosed:
            pass  # the worker went first; its error is the one to tell
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._crash = self._crash or error
            self.stop.set()  # the others come to their end; a worker that went has released them already

    def _tell(self, sources: Iterable[Source], watch: Watch) -> None:
        """Publish all records of some sources, one source after the other."""
        began = time.thread_time()
        for source in sources:
            if self.stop.is_set():
                break
            tally = Tally()
            standing = Standing(source.shown)
            new_follower = partial(self.new_follower, source)
            records = records_of(source, self.settings, new_follower, stored=self._stored, stop=self.stop, tally=tally)
            try:
                for record in records:
                    self._bus.publish(record)
                    standing.frames, standing.total, standing.faces = tally.frames, tally.frames_expected, tally.faces
                    watch.show(standing)
            except BadSource as failure:
                self.failures[source.id] = failure
            watch.forget(standing)
            self.frames, self.faces = self.frames + tally.frames, self.faces + tally.faces
        self.ingest_cpu_s += time.thread_time() - began

    def _stored(self, source: str, session: str) -> Stored:
        """Note a session when it opens, and say what the store already holds of it."""
        self.sessions.append((source, session))
        self.first_frame_at = self.first_frame_at or time.monotonic()
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


def _join(thread: threading.Thread) -> None:
    """Wait for a thread so that Ctrl-C still reaches the main one."""
    while thread.is_alive():
        thread.join(POLL_S)
