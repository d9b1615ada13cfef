"""One run of ingest: files one after the other, each camera beside them, all into Kafka."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2

from contract.errors import BadSource
from contract.exit_codes import BAD_INPUT, DONE, INTERRUPTED
from contract.records import Record
from ingest.followers import follower_factory
from ingest.kafka.backlog import KafkaBacklog
from ingest.kafka.outbox import Outbox
from ingest.kafka.publisher import Halted, KafkaPublisher, Sent
from ingest.past import RedisPast
from ingest.pipeline import Following, Stored, Tally, nothing_stored, records_of
from ingest.settings import IngestSettings
from ingest.sources import Source, sources_of
from runtime.signals import stopped_by_signals

LINE_EVERY_S, POLL_S = 5.0, 0.2


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where records go, and what is asked of the way."""

    bootstrap: str
    redis: str
    topic: str
    shed_after_s: float | None
    budget: int  # bytes


def ingest_all(typed: Sequence[str], settings: IngestSettings, delivery: Delivery) -> int:
    """Look at all sources until they end or a signal comes; the exit code.

    Raises:
        BadSource: there is no such source. Nothing was published.
        LogUnavailable: Kafka does not answer, or did not take everything in the end.
        StoreUnavailable: Redis does not say what is stored.
    """
    cv2.setNumThreads(1)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # it tells of every attempt; what matters is told here
    sources = sources_of(typed)
    with stopped_by_signals(lambda: _note("stopping after this frame …")) as stop:
        outbox = Outbox(delivery.bootstrap, topic=delivery.topic, budget=delivery.budget)
        past = RedisPast(
            delivery.redis, partitions=outbox.partitions, backlog=KafkaBacklog(delivery.bootstrap, delivery.topic)
        )
        live = [source.id for source in sources if source.live]
        publisher = KafkaPublisher(outbox, live=live, shed_after_s=delivery.shed_after_s, stop=stop)
        run = Run(settings, publisher.publish, past, stop, follower_factory(settings))
        try:
            run.over(sources, lambda: _note(_line(run, outbox.held_bytes)))
        finally:
            past.close()
            publisher.close()
        for failure in run.failures:
            _note(f"mien: {failure}")
        for name in run.finished:
            _note(_summary(name, publisher.sent().get(name)))
        return BAD_INPUT if run.failures else INTERRUPTED if stop.is_set() else DONE


@dataclass(slots=True)
class Run:
    """One run over some sources; a source that cannot be looked at is noted, the others go on."""

    settings: IngestSettings
    publish: Callable[[Record], None]
    stored: Callable[[str, str], Stored]
    stop: threading.Event
    new_follower: Callable[[Source], Following]
    failures: list[BadSource] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)  # sources that were looked at, to the end or to the stop
    tallies: dict[str, Tally] = field(default_factory=dict)
    _crash: BaseException | None = None

    def over(self, sources: Sequence[Source], tell: Callable[[], None]) -> None:
        """Look at all sources; returns when the last one ended. `tell` is called every few seconds.

        Raises:
            MienError: what ended the run, other than a bad source.
        """
        files = [source for source in sources if not source.live]
        groups = [[source] for source in sources if source.live] + ([files] if files else [])
        threads = [threading.Thread(target=self._guarded, args=(group,), name="ingest") for group in groups]
        for thread in threads:
            thread.start()
        told_at = time.monotonic()
        while any(thread.is_alive() for thread in threads):
            threads[0].join(POLL_S) if threads[0].is_alive() else time.sleep(POLL_S)
            if time.monotonic() - told_at >= LINE_EVERY_S:
                told_at = time.monotonic()
                tell()
        if self._crash is not None:
            raise self._crash

    def _guarded(self, group: Sequence[Source]) -> None:
        try:
            for source in group:
                if not self.stop.is_set():
                    self._look_at(source)
        except Halted:
            pass  # what was not published is looked at again next time
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._crash = self._crash or error
            self.stop.set()

    def _look_at(self, source: Source) -> None:
        tally = self.tallies[source.id] = Tally()
        follower = partial(self.new_follower, source)
        stored = nothing_stored if source.live else self.stored  # a connection is always a new session
        try:
            for record in records_of(source, self.settings, follower, stored=stored, stop=self.stop, tally=tally):
                self.publish(record)
            self.finished.append(source.id)
        except BadSource as failure:
            self.failures.append(failure)
        if not source.live:
            del self.tallies[source.id]


def _summary(name: str, sent: Sent | None) -> str:
    if sent is None:
        return f"{name}: nothing new"
    lost = f"; {sent.dropped} dropped, {sent.refused} too large" if sent.dropped or sent.refused else ""
    return f"{name}: {sent.records} records, {sent.faces} faces published{lost}"


def _line(run: Run, held_bytes: int) -> str:
    parts = [
        f"{name}: {tally.frames:,}{f' of {tally.frames_expected:,}' if tally.frames_expected else ''} frames, "
        f"{tally.faces:,} faces"
        for name, tally in list(run.tallies.items())
    ]
    return f"{' · '.join(parts)} ({held_bytes / 2**20:.1f} MiB on the way)"


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
