"""Ingest as a service: sources into Kafka until they end, or a signal comes."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from contract.exit_codes import BAD_INPUT, DONE, INTERRUPTED
from ingest.followers import follower_factory
from ingest.kafka.backlog import KafkaBacklog
from ingest.kafka.outbox import Outbox
from ingest.kafka.publisher import KafkaPublisher, Sent
from ingest.past import RedisPast, laid_out, routed_over, waiting
from ingest.run import Run
from ingest.settings import IngestSettings
from ingest.sources import sources_of
from runtime.bus import BusClosed
from runtime.signals import stopped_by_signals


@dataclass(frozen=True, slots=True)
class KafkaTarget:
    """Where records go, and what is asked of the way."""

    bootstrap: str
    redis: str
    topic: str
    shed_after_s: float | None
    budget: int  # bytes


def ingest_all(typed: Sequence[str], settings: IngestSettings, target: KafkaTarget) -> int:
    """Look at all sources until they end or a signal comes; the exit code.

    Raises:
        BadSource: there is no such source. Nothing was published.
        LogUnavailable: Kafka does not answer, or did not take everything in the end.
        BadStore: Redis refuses us.
    """
    cv2.setNumThreads(1)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # it logs every attempt; what matters is printed here
    sources = sources_of(typed)
    with stopped_by_signals(lambda: _note("stopping after this frame …")) as stop:
        outbox = Outbox(target.bootstrap, topic=target.topic, budget=target.budget)
        try:
            wanted = waiting(laid_out, stop)(target.redis)
        except BusClosed:
            outbox.close(0)
            return INTERRUPTED
        outbox.partitions = routed_over(target.topic, outbox.partitions, wanted)
        past = RedisPast(
            target.redis,
            partitions=outbox.partitions,
            backlog=KafkaBacklog(target.bootstrap, target.topic, outbox.partitions),
        )
        live = [source.id for source in sources if source.live]
        publisher = KafkaPublisher(outbox, live=live, shed_after_s=target.shed_after_s, stop=stop)
        run = Run(settings, publisher.publish, waiting(past, stop), follower_factory(settings), stop)
        try:
            run.over(sources, lambda: _note(_line(run, outbox.held_bytes)))
        finally:
            past.close()
            publisher.close()
        _report(run, publisher)
        return BAD_INPUT if run.failures else INTERRUPTED if stop.is_set() else DONE


def _report(run: Run, publisher: KafkaPublisher) -> None:
    for failure in run.failures.values():
        _note(f"mien: {failure}")
    for name in run.left_behind:
        _note(f"{name}: not waited for; run it again to go on")
    for name in run.finished:
        _note(_summary(name, publisher.sent().get(name)))


def _summary(name: str, sent: Sent | None) -> str:
    if sent is None:
        return f"{name}: nothing new"
    lost = f"; {sent.dropped} dropped, {sent.refused} too large" if sent.dropped or sent.refused else ""
    return f"{name}: {sent.records} records, {sent.faces} faces published{lost}"


def _line(run: Run, held_bytes: int) -> str:
    parts = [
        f"{name}: {tally.frames:,}{f' of {tally.frames_expected:,}' if tally.frames_expected else ''} frames, "
        f"{tally.faces:,} faces"
        for name, tally in run.tallies.items()
    ]
    return f"{' · '.join(parts)} ({held_bytes / 2**20:.1f} MiB on the way)"


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
