"""A stored range of a log read again by other nets, while its crops are still in the log: `mien worker --rescore`."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from contract.errors import MienError
from contract.exit_codes import DONE
from contract.readings import Entry, Point
from contract.records import Crop, Delivery, Record
from runtime.extras import check_cluster_installed
from runtime.signals import stopped_by_signals
from worker.commit import CommitRefused
from worker.counters import Counters
from worker.kafka.settings import KafkaSettings
from worker.reading.entries import EntryMaker
from worker.reading.faces import FaceReader
from worker.reading.poison import Limits
from worker.reading.portrait import Portraits
from worker.reading.reader import Reading
from worker.retry import Retry, Stopped
from worker.service import exit_code
from worker.settings import WorkerSettings
from worker.store import RESCORED_AT_ONCE, Outcome, Rescoring, RescoringStore

SAY_EVERY_S = 5.0
BEFORE_ALL_TIME = -(2**63)  # µs: nothing is stale then

_log = logging.getLogger(__name__)


class LogRanges(Protocol):
    """A log that hands any part of itself over once more."""

    @property
    def log(self) -> str:
        """Return the identity of the log."""
        ...

    @property
    def partitions(self) -> Sequence[int]:
        """Return the numbers of all partitions."""
        ...

    def read(self, partition: int, begin: int, end: int) -> Iterator[Sequence[Delivery]]:
        """What is there of [begin, end), in order."""
        ...


@dataclass(slots=True)
class Summary:
    """What a rescoring has done."""

    partitions: int = 0  # read to the end
    left: int = 0  # to another process, which took them over
    records: int = 0
    faces: int = 0  # among them, with a reading
    expired: int = 0  # records that the log no longer held

    def __str__(self) -> str:
        return (
            f"{self.faces} faces in {self.records} records read again, {self.partitions} partitions to their end,"
            f" {self.left} left to another process; {self.expired} records had expired"
        )


class Rescorer:
    """Reads what the store has of a log again, partition by partition, up to where its workers are at the beginning.

    Nothing of the workers is touched (`RescoringStore`). Another process that does the same takes partitions over;
    whoever is stopped or killed is followed by another run, which goes on where the store says.

    Args:
        stop: ends `run` after the batch in hand, with `Stopped`.
    """

    def __init__(
        self,
        store: RescoringStore,
        ranges: LogRanges,
        reader: Reading,
        *,
        batch_size: int = 64,
        limits: Limits | None = None,
        decode_threads: int = 1,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._stretches = ranges
        self._schema = reader.schema
        self._size = min(batch_size, RESCORED_AT_ONCE)
        self._stop = stop or threading.Event()
        self._retry = Retry(self._stop)
        counters = Counters()
        self._faces = FaceReader(reader, counters, now_us=lambda: BEFORE_ALL_TIME, decode_threads=decode_threads)
        self._entry_maker = EntryMaker(reader.schema, _NoPictures(lambda source, session: False), counters, limits)
        self._clock = clock
        self._said_at = clock()
        self._summary = Summary()

    def run(self) -> Summary:
        """Read every partition to its end.

        Raises:
            Stopped: asked to stop.
            MienError: of the store, the log or the nets; TooManyRejected.
        CommitRefused: the store finds readings wrong in themselves.
        """
        for partition in self._stretches.partitions:
            while (outcome := self._read(partition)) is Outcome.STALE:
                _log.warning("partition %d was rolled back, or our answer was lost: taking it again", partition)
            if outcome is Outcome.FENCED:
                self._summary.left += 1
                _log.warning("partition %d was taken over by another process", partition)
            else:
                self._summary.partitions += 1
        return self._summary

    def _read(self, partition: int) -> Outcome:
        """Read a partition until its end or until the store accepts no more."""
        taken = self._retry(lambda: self._store.take_rescoring(self._stretches.log, partition, self._schema))
        offset = taken.next_offset
        for deliveries in self._batches(partition, offset, taken.until):
            outcome = self._apply(partition, taken, offset, deliveries)
            if outcome is not Outcome.APPLIED:
                return outcome
            self._summary.expired += deliveries[0].offset - offset
            offset = deliveries[-1].offset + 1
            self._say(partition, offset, taken.until)
            if self._stop.is_set():
                raise Stopped
        self._say(partition, taken.until, taken.until, always=True)
        if offset >= taken.until:
            return Outcome.APPLIED
        self._summary.expired += taken.until - offset
        return self._commit(partition, taken, (offset, taken.until), [])

    def _batches(self, partition: int, begin: int, end: int) -> Iterator[Sequence[Delivery]]:
        if begin >= end:
            return
        for part in self._stretches.read(partition, begin, end):
            for at in range(0, len(part), self._size):
                yield part[at : at + self._size]

    def _apply(self, partition: int, taken: Rescoring, offset: int, deliveries: Sequence[Delivery]) -> Outcome:
        readings = self._faces.read(self._faces.decode(deliveries))
        entries, _ = self._entry_maker.entries(deliveries, readings)
        offsets = (offset, deliveries[-1].offset + 1)
        outcome = self._commit(partition, taken, offsets, entries)
        if outcome is Outcome.REFUSED:
            entries, _ = self._entry_maker.skip_refused(entries, deliveries)
            outcome = self._commit(partition, taken, offsets, entries)
        if outcome is Outcome.REFUSED:
            raise CommitRefused(
                f"the store refuses readings of partition {partition}, offsets {offsets}; its log says why"
            )
        if outcome is Outcome.APPLIED:
            self._summary.records += len(deliveries)
            self._summary.faces += sum(isinstance(entry, Point) for entry in entries)
        return outcome

    def _commit(self, partition: int, taken: Rescoring, offsets: tuple[int, int], entries: Sequence[Entry]) -> Outcome:
        points = [entry for entry in entries if isinstance(entry, Point)]
        return self._retry(
            lambda: self._store.rescore(
                self._stretches.log,
                partition,
                taken=taken,
                previous_offset=offsets[0],
                next_offset=offsets[1],
                points=points,
                schema=self._schema,
            )
        )

    def _say(self, partition: int, offset: int, until: int, *, always: bool = False) -> None:
        now = self._clock()
        if always or now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            _log.info("partition %d: at offset %d of %d", partition, offset, until)


class _NoPictures(Portraits):
    """People have theirs already."""

    def of(self, record: Record, crop: Crop | None = None) -> bytes | None:
        """Return None."""
        return None


def rescore(settings: WorkerSettings, new_reader: Callable[[], Reading], stop: threading.Event | None = None) -> int:
    """Read the topic again into the store of the settings; the exit code, as of `worker.service`, 0 also if stopped."""
    try:
        with ExitStack() as stack:
            ending = stop or stack.enter_context(stopped_by_signals(second_ends=False))
            reader = new_reader()
            check_cluster_installed()
            from worker.cluster import worker_name
            from worker.kafka.ranges import KafkaLogRanges
            from worker.store.redis import RedisStore

            retry = Retry(ending)
            kafka = KafkaSettings(bootstrap=settings.bootstrap, topic=settings.topic, name=worker_name())
            ranges = retry(lambda: KafkaLogRanges(kafka))
            stack.callback(ranges.close)
            store = retry(lambda: RedisStore(settings.redis, partitions=len(ranges.partitions)))
            stack.callback(store.close)
            _log.info("reading again with %s, schema %s", _names(reader), reader.schema.id)
            rescorer = Rescorer(
                store,
                ranges,
                reader,
                batch_size=settings.batch_size,
                limits=settings.limits,
                decode_threads=settings.decode_threads,
                stop=ending,
            )
            _log.info("%s", rescorer.run())
    except Stopped:
        _log.info("stopped; another run goes on from here")
    except (MienError, CommitRefused) as error:
        _log.critical("%s", error)
        return exit_code(error)
    return DONE


def _names(reader: Reading) -> str:
    return ", ".join(f"{net.name} {net.version}" for net in reader.schema.nets)
