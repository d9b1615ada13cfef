"""The worker's story: deliveries in, batches, readings, points, commits."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain, islice

from contract.records import Delivery, Face
from worker.batch import in_batches
from worker.commit import Committer
from worker.counters import Counters
from worker.leases import Leases, Place
from worker.log import Assigned, Log, Revoked
from worker.reading.clock import AnchoredClock
from worker.reading.entries import EntryMaker
from worker.reading.faces import FaceReader, FaceReading, Watching
from worker.reading.poison import Limits, Reject
from worker.reading.portrait import Portraits
from worker.reading.reader import Reading
from worker.reading.shed import merged_shed_gaps
from worker.retry import Retry, Stopped
from worker.store import Lease, Store

DEATHS = 2  # of workers that read a record alone; once may be anybody's kill at that moment

_log = logging.getLogger(__name__)


class Worker:
    """Reads a log into a store, exactly once; whatever it remembers may be lost at any time.

    What cannot be read is passed over with a gap and told to `reject`, before the commit that moves the offset.
    `counters`, `troubles` and `held` may be watched, and `stop` called, from other threads.

    Args:
        clock: monotonic s.
        reject: None where a warning is enough.
        now_us: µs since the epoch, for live faces that go stale.
        watching: entered while the nets read (worker/reading/watchdog.py).
        applied: hears up to which offset a partition is stored, for those who watch lag.
        pause: waits for so many seconds, or until `stop` is called; says whether it was.
    """

    def __init__(
        self,
        store: Store,
        reader: Reading,
        *,
        batch_size: int = 32,
        wait_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
        reject: Reject | None = None,
        limits: Limits | None = None,
        decode_threads: int = 1,
        now_us: Callable[[], int] | None = None,
        watching: Watching = nullcontext,
        applied: Callable[[int, int], None] = lambda partition, offset: None,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self.counters = counters = Counters()
        self._store = store
        self._batch_size = batch_size
        self._wait_s = wait_s
        self._clock = clock
        self._stop = threading.Event()
        self._retry = retry = Retry(self._stop, counters.beat, pause)
        self._leases = Leases(self._take, counters, applied=applied, clock=clock)
        self._portraits = Portraits(lambda source, session: retry(partial(self._store.keeps_pictures, source, session)))
        self._faces = FaceReader(
            reader, counters, now_us=now_us or AnchoredClock(), decode_threads=decode_threads, watching=watching
        )
        self._entry_maker = EntryMaker(reader.schema, self._portraits, counters, limits)
        self._committer = Committer(
            store, reader.schema, self._leases, retry, counters, self._entry_maker.skip_refused, reject
        )

    def run(self, log: Log) -> None:
        """Apply the log until it ends or `stop` is called; whoever publishes is released, however this ends.

        Raises:
            TooManyRejected, EngineFailed, RecordsMissing, CommitRefused, LeaseLost, or the store's BadStore (but for
            StoreUnavailable, which is waited out); what was committed stays.
        """
        self._leases.rewind = log.rewind
        try:
            for batch in in_batches(self._arrivals(log), self._batch_size, self._wait_s, self._clock):
                self.apply(batch)
        except Stopped:
            _log.warning("stopped while waiting; what was in hand comes again")
        finally:
            log.abandon()

    def stop(self) -> None:
        """Ask `run` to end after the batch in hand; where the store is away, without it."""
        self._stop.set()

    def troubles(self) -> list[str]:
        """What keeps all partitions, or which, from going on; one line each."""
        waiting = self._retry.trouble()
        return ([waiting.text] if waiting else []) + self._leases.troubles()

    def held(self) -> list[int]:
        """Numbers of the partitions held."""
        return self._leases.held()

    def apply(self, batch: Sequence[Delivery]) -> None:
        """Read the faces of a batch together, then commit each partition's part of it."""
        self._leases.tend()
        parts = self._leases.accepted(batch)
        for place in [place for place, part in parts.items() if self._leases.is_careful(place, part[0].offset)]:
            for delivery in parts.pop(place):
                self._apply_alone(place, delivery)
        deliveries = list(chain.from_iterable(parts.values()))
        readings = self._faces.read(self._faces.decode(deliveries))
        made, rejections = self._entry_maker.entries(deliveries, readings)
        entries = iter(made)
        for place, part in parts.items():
            theirs = [one for one in rejections if (one.log, one.partition) == place]
            self._committer.commit(place, part, merged_shed_gaps(list(islice(entries, len(part)))), theirs)
        self.counters.batches += 1
        self.counters.beat()

    def _apply_alone(self, place: Place, delivery: Delivery) -> None:
        """Read and commit one record; set it aside where workers have died of it before."""
        deaths = self._retry(partial(self._store.begin_alone, place[1], delivery.offset))
        is_set_aside = deaths >= DEATHS and isinstance(delivery.record, Face)
        readings: dict[int, FaceReading] = {0: f"{deaths} workers ended while they read it"} if is_set_aside else {}
        if not is_set_aside:
            readings = self._faces.read(self._faces.decode([delivery]))
        entries, rejections = self._entry_maker.entries([delivery], readings)
        self._committer.commit(place, [delivery], entries, rejections)

    def _arrivals(self, log: Log) -> Iterator[Delivery | None]:
        """Yield deliveries and silences; act on assignment events at once. Ends with the log, or when stopped."""
        events = log.deliveries(self._wait_s / 4)
        seconds = self.counters.seconds
        while not self._stop.is_set():
            begun = time.perf_counter()
            try:
                event = next(events)
            except StopIteration:
                return
            finally:
                seconds["wait"] += time.perf_counter() - begun
            if isinstance(event, Assigned):
                self._leases.assign(event)
            elif isinstance(event, Revoked):
                self._leases.revoke(event)
            else:
                if event is None:
                    self._leases.tend()
                    self.counters.beat()
                yield event

    def _take(self, log: str, partition: int) -> Lease:
        self._portraits.forget()
        return self._retry(partial(self._store.take, log, partition))
