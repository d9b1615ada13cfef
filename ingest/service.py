"""Ingest as a service: sources into Kafka until they end, or a signal comes."""

import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import cv2

from contract.exit_codes import BAD_INPUT, DONE, INTERRUPTED
from ingest.followers import follower_factory
from ingest.health import IngestHealth, Totals
from ingest.kafka.backlog import KafkaBacklog
from ingest.kafka.outbox import Outbox
from ingest.kafka.publisher import KafkaPublisher, Sent
from ingest.past import RedisPast, laid_out, routed_over, waiting
from ingest.run import Run
from ingest.settings import IngestSettings
from ingest.sources import Source, sources_of
from runtime.bus import BusClosed
from runtime.health import HealthServer
from runtime.signals import stopped_by_signals


@dataclass(frozen=True, slots=True)
class KafkaTarget:
    """Where records go, and what is asked of the way."""

    bootstrap: str
    redis: str
    topic: str
    shed_after_s: float | None
    budget: int  # bytes
    health_host: str = "127.0.0.1"
    health_port: int | None = None  # of the health pages, 0: any that is free; None: none


def ingest_all(typed: Sequence[str], settings: IngestSettings, target: KafkaTarget) -> int:
    """Look at all sources until they end or a signal comes; the exit code.

    Raises:
        BadSource: there is no such source. Nothing was published.
        LogUnavailable: Kafka does not answer, or did not take everything in the end.
        BadLog: the topic has fewer partitions than the store is laid out for.
        BadStore: Redis refuses us.
        BadOutput: the port of the health pages is taken.
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
        return _ingest(sources, settings, target, outbox, wanted, stop)


def _ingest(
    sources: list[Source],
    settings: IngestSettings,
    target: KafkaTarget,
    outbox: Outbox,
    wanted: int | None,
    stop: threading.Event,
) -> int:
    """Look at all sources through an open outbox; the exit code."""
    has = outbox.partitions
    outbox.partitions = routed_over(target.topic, has, wanted)
    mismatch = "" if wanted in (None, has) else f"topic {target.topic} has {has} partitions, the store wants {wanted}"
    backlog = KafkaBacklog(target.bootstrap, target.topic, outbox.partitions)
    past = RedisPast(target.redis, partitions=outbox.partitions, backlog=backlog)
    live = [source.id for source in sources if source.live]
    publisher = KafkaPublisher(outbox, live=live, shed_after_s=target.shed_after_s, stop=stop)
    totals = Totals()
    run = Run(settings, publisher.publish, waiting(past, stop), follower_factory(settings), stop, totals)
    with ExitStack() as stack:
        stack.callback(publisher.close)
        stack.callback(past.close)
        if target.health_port is not None:
            health = IngestHealth(run, sources, totals, outbox, publisher, mismatch)
            server = HealthServer(target.health_host, target.health_port, health.pages())
            stack.callback(server.close)
            _note(f"health pages: http://{target.health_host}:{server.port}")
        run.over(sources, lambda: _note(_line(run, outbox.held_bytes)))
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
