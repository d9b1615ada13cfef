"""Records onto Kafka: crops as JPEG, files at the log's pace, cameras at their own."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from threading import Event

import cv2
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from contract.errors import LogUnavailable
from contract.labels import GapReason
from contract.records import Face, Gap, Progress, Record, SessionOpened
from contract.topics import MESSAGE_LIMIT
from contract.wire import Message, message_of
from ingest.kafka.outbox import RESERVE, Outbox, gap_of, size_of
from runtime.bus import BusClosed

JPEG_QUALITY = 92
RESUME_SHARE = 0.875  # of the budget: a camera that dropped faces goes on below it, so that gaps stay few and long
POLL_S, GRACE_S = 0.2, 2.0


class Halted(BusClosed):
    """The run is stopped while the log takes nothing. Internal: what was not published is looked at again next time."""


@dataclass(slots=True)
class Sent:
    """What was published of one source."""

    records: int = 0
    faces: int = 0
    dropped: int = 0  # faces of a camera that found no room
    refused: int = 0  # faces larger than a message may be


@dataclass(slots=True)
class _Source:
    live: bool
    sent: Sent
    dated: bool = False
    stretch: Gap | None = None  # faces dropped since the last record, not told yet


class KafkaPublisher:
    """Publishes records of several sources, each from one thread; as `runtime.bus.InProcessBus` does.

    A file waits while the outbox is full. A camera does not: its faces that find no room are dropped, and a
    gap with their exact bounds goes in their place, under the sequence of the last of them.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        live: Collection[str] = (),
        shed_after_s: float | None = None,
        stop: Event | None = None,
    ) -> None:
        """Publish through an outbox.

        Args:
            outbox: is closed with the publisher.
            live: ids of the sources that do not wait.
            shed_after_s: age from which workers may pass over a face of a live, dated source; None: they read all.
            stop: when set, a source that waits for room gives up after `GRACE_S`.
        """
        self._outbox, self._live, self._stop = outbox, frozenset(live), stop or Event()
        self._shed_after_us = None if shed_after_s is None else round(shed_after_s * 1e6)
        self._sources: dict[str, _Source] = {}

    def publish(self, record: Record) -> None:
        """Send a record after all others of its source.

        Raises:
            Halted: the run was stopped while there was no room.
        """
        source = self._sources.get(record.source)
        if source is None:
            source = self._sources[record.source] = _Source(record.source in self._live, Sent())
        if isinstance(record, SessionOpened):
            source.dated = record.dated
        if source.live and not self._outbox.has_room(RESUME_SHARE if source.stretch else 1.0):
            if isinstance(record, Face):
                source.stretch = _widened(source.stretch, record)
                source.sent.dropped += 1
                return
            if isinstance(record, Progress) and not record.closed:
                return  # the next one says as much
        self._tell_stretch(source)
        self._send(source, record)

    def sent(self) -> dict[str, Sent]:
        """What was published so far, by source."""
        return {name: source.sent for name, source in list(self._sources.items())}

    def close(self, timeout_s: float = 30.0) -> None:
        """Tell of what was dropped last, and wait until the broker has everything.

        Raises:
            LogUnavailable: it has not after `timeout_s`; names how many records are missing.
        """
        for source in self._sources.values():
            self._tell_stretch(source, wait=False)
        left = self._outbox.close(timeout_s)
        if left:
            raise LogUnavailable(
                f"{left} records were not acknowledged by Kafka at {self._outbox.bootstrap} within {timeout_s:g} s;"
                " the same files run again send them again"
            )

    def _tell_stretch(self, source: _Source, *, wait: bool = True) -> None:
        if source.stretch is not None:
            self._send(source, source.stretch, wait=wait)
            source.stretch = None  # not before: a run that is halted in its wait tells it when it closes

    def _send(self, source: _Source, record: Record, *, wait: bool = True) -> None:
        message = self._message(source, record)
        if size_of(message) > MESSAGE_LIMIT and isinstance(record, Face):
            source.sent.refused += 1
            record = gap_of(record, GapReason.REJECTED)
            message = message_of(record)
        if wait:
            self._wait_for_room(RESERVE if source.live else 0)
        self._outbox.put(message)
        source.sent.records += 1
        source.sent.faces += isinstance(record, Face)

    def _message(self, source: _Source, record: Record) -> Message:
        if not isinstance(record, Face):
            return message_of(record)
        if not isinstance(record.crop, bytes):
            record = replace(record, crop=jpeg(record.crop))
        sheds = self._shed_after_us is not None and source.live and source.dated
        return message_of(record, stale_at=record.event_time + (self._shed_after_us or 0) if sheds else None)

    def _wait_for_room(self, reserve: int) -> None:
        stopped_at: float | None = None
        while not self._outbox.wait_for_room(POLL_S, reserve):
            if self._stop.is_set():
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > GRACE_S:
                    raise Halted("stopped while Kafka takes no records")


def jpeg(crop_rgb: NDArray[np.uint8]) -> bytes:
    """The crop, (edge, edge, 3) u8 RGB, as JPEG of quality 92."""
    done, body = cv2.imencode(
        ".jpg", cv2.cvtColor(crop_rgb, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
    )
    if not done:
        raise ValueError(f"OpenCV writes no JPEG of a crop {crop_rgb.shape}")
    return body.tobytes()


def _widened(stretch: Gap | None, face: Face) -> Gap:
    """The dropped stretch with one more face, under that face's sequence."""
    if stretch is None:
        return gap_of(face, GapReason.DROPPED)
    begin, end = min(stretch.begin, face.event_time), max(stretch.end, face.event_time + 1)
    return replace(stretch, sequence=face.sequence, begin=begin, end=end)
