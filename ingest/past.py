"""What is already known of a session: stored in Redis, or in Kafka and not stored yet."""

import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from threading import Event
from typing import ParamSpec, TypeVar

from contract.errors import BadLog, LogUnavailable, StoreUnavailable
from contract.keys import LAYOUT, Keys
from contract.labels import GapReason
from contract.records import Erase, Gap, Progress, Record
from contract.topics import partition_of
from ingest.pipeline import Stored
from runtime.bus import BusClosed
from runtime.redis import client, translated
from runtime.redis_address import shown

Backlog = Callable[[str, int], Iterable[Record]]
"""The records of a source in the log from an offset of its partition on."""

ANSWER_S = 5.0
WAITS_S = (0.5, 10.0)  # the first and the longest between two questions to a server that is silent

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger(__name__)


def no_backlog(source: str, offset: int) -> Iterable[Record]:
    """Everything in the log is stored."""
    return ()


class RedisPast:
    """What is known of a (source, session), for `ingest.pipeline.records_of`; reads only.

    Raises:
        BadRequest: the address cannot be read. No message holds a password.

    What waits in the log counts as well, so that it is not published again. An interruption of version 1.0 took two
    sequences: a run that did not know of one would give them to other records, which the store would then pass over.
    """

    def __init__(self, url: str, *, partitions: int, backlog: Backlog = no_backlog) -> None:
        self._redis = client(url, connect_s=ANSWER_S, answer_s=ANSWER_S, attempts=2)
        self._shown = shown(url)
        self._partitions = partitions
        self._backlog = backlog

    def __call__(self, source: str, session: str) -> Stored:
        """The past of a session.

        Raises:
            StoreUnavailable: Redis does not answer.
            BadStore: it refuses us, or what it holds is not ours.
            LogUnavailable: Kafka does not.
        """
        stored, next_offset = self._stored(source, session)
        return _joined(stored, (record for record in self._backlog(source, next_offset) if record.session == session))

    def close(self) -> None:
        """Hand the connection back."""
        self._redis.close()

    def _stored(self, source: str, session: str) -> tuple[Stored, int]:
        keys = Keys(partition_of(source, self._partitions))
        with translated(self._shown), self._redis.pipeline(transaction=True) as asked:
            asked.hmget(keys.session(source, session), "high_water", "closed")
            asked.hgetall(keys.gaps(source, session))
            asked.hget(keys.position, "next_offset")
            (high_water, closed), gaps, next_offset = asked.execute()
        reason = GapReason.INTERRUPTED.encode()
        interrupted = (int(sequence) for sequence, gap in gaps.items() if gap.endswith(b" " + reason))
        numbered = tuple(sorted(sequence for sequence in interrupted if sequence >= 0))
        past = Stored(None if high_water is None else int(high_water), numbered, closed == b"1")
        return past, int(next_offset or 0)


def laid_out(url: str) -> int | None:
    """Return for how many partitions the store at this address is laid out; None: no worker has begun it.

    Raises:
        StoreUnavailable: Redis does not answer.
        BadStore: it refuses us.
    """
    with closing(client(url, connect_s=ANSWER_S, answer_s=ANSWER_S, attempts=2)) as server, translated(shown(url)):
        found = server.hget(LAYOUT, "partitions")
    return int(found) if isinstance(found, bytes) and found.isdigit() else None


def routed_over(topic: str, has: int, wanted: int | None) -> int:
    """Return over how many partitions sources are spread: as many as the store is laid out for.

    Partitions that an operator added move no source: it would be published again where no worker may read.

    Raises:
        BadLog: the topic has fewer than the store wants.
    """
    if wanted is None or wanted == has:
        return has
    if wanted > has:
        raise BadLog(f"topic {topic} has {has} partitions, the store is laid out for {wanted}; wanted as many")
    _log.warning("topic %s has %d partitions, the store is laid out for %d: only those are used", topic, has, wanted)
    return wanted


def waiting(ask: Callable[P, T], stop: Event, waits_s: tuple[float, float] = WAITS_S) -> Callable[P, T]:
    """Return `ask`, which waits until Redis and Kafka answer instead of raising; BusClosed when it is stopped."""

    def asked(*arguments: P.args, **options: P.kwargs) -> T:
        wait_s, longest_s = waits_s
        reported = ""
        while True:
            try:
                return ask(*arguments, **options)
            except (StoreUnavailable, LogUnavailable) as error:
                if str(error) != reported:
                    reported = str(error)
                    _log.warning("waiting: %s", error)
            if stop.wait(wait_s):
                raise BusClosed("stopped while it is unknown what is stored")
            wait_s = min(2 * wait_s, longest_s)

    return asked


def _joined(stored: Stored, waiting: Iterable[Record]) -> Stored:
    """The past when everything that waits will have been stored; looks at one record at a time, as they hold crops."""
    high_water, closed = stored.high_water, stored.closed
    stops = set(stored.interrupted_at)
    for record in waiting:
        if isinstance(record, Erase) or (isinstance(record, Gap) and record.is_interruption):
            continue  # raises no mark
        high_water = record.sequence if high_water is None else max(high_water, record.sequence)
        if isinstance(record, Gap) and record.reason is GapReason.INTERRUPTED:
            stops.add(record.sequence)
        closed = closed or (isinstance(record, Progress) and record.closed)
    return Stored(high_water, tuple(sorted(stops)), closed)
