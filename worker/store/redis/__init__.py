"""The store of a cluster: one Redis primary, any number of workers; every commit is one call of mien_v1.lua."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from contract.errors import BadStore, LogReplaced, StoreTooNew, StoreUnavailable
from contract.keys import LAYOUT, LAYOUT_VERSION, Keys
from contract.labels import GapReason
from contract.points import packed
from contract.readings import COUNTED, Entry, Point, ReadingSchema, SkippedReason
from contract.topics import PARTITIONS, partition_of
from worker.store import Lease, Outcome, Rescoring
from worker.store.check import BadBatch, Batch, checked
from worker.store.fold import Changes, SessionKey, changes_of, sessions_of
from worker.store.redis import rescoring as redis_rescoring
from worker.store.redis.call import Call, Indexed, SchemaText
from worker.store.redis.server import COMMIT, TAKE, RedisServer

REMEMBERED = 4096  # sessions of a partition whose marks are kept at hand
ATTEMPTS = 5  # at one call, each with what the last answer corrected

_log = logging.getLogger(__name__)


class RedisStore:
    """A `Store` on a Redis primary, in the layout of `contract.keys`.

    What is remembered between calls (marks) or read before one (the index of an erased person) is compared with the
    stored by the call itself, so that no memory can be wrong unnoticed. Epochs are the server's time of the takeover
    in µs, raised where a clock went back: no two takeovers share one, also when a failover forgets the first.

    Raises, from any method, one line each: StoreUnavailable (the same call may succeed later), LogReplaced,
    StoreTooNew, BadStore. No message holds a password.

    Args:
        adopt_logs: follow another log from its beginning where a partition followed a log that was replaced.
        retention_s: people and what was read of them expire this long after their last point; None: never.
        partitions: of the topic of faces; None: what the store was laid out for, 12 where it is new.
        functions: False uses scripts also where the server knows functions; None asks it.
    """

    def __init__(
        self,
        url: str,
        *,
        adopt_logs: bool = False,
        retention_s: int | None = None,
        partitions: int | None = None,
        functions: bool | None = None,
    ) -> None:
        self._server = RedisServer(url, functions=functions)
        self._adopt_logs = adopt_logs
        self._retention_s = retention_s
        self._marks: dict[tuple[str, int], dict[SessionKey, int | None]] = {}
        self._schema: ReadingSchema | None = None  # the last one seen, and its text
        self._schema_text = SchemaText("", b"")
        try:
            self._partitions = self._laid_out(partitions)
            self._server.load_where_it_differs()
        except BaseException:
            self._server.close()
            raise

    def take(self, log: str, partition: int) -> Lease:
        """The partition under a new epoch, with the position to go on from; the server is checked anew.

        Raises:
            LogReplaced: the store followed another log.
            BadStore: the store was laid out for another number of partitions, or Redis is not set up for the promise.
        """
        if not 0 <= partition < self._partitions:
            raise BadStore(f"{self._place}: partition {partition}, the store was laid out for {self._partitions}")
        self._server.check()
        self._marks.pop((log, partition), None)
        found = self._server.call(TAKE, Call(partition).keys, (log, "1" if self._adopt_logs else "0"))
        match _texts(found):
            case ["TAKEN", epoch, next_offset]:
                return Lease(int(epoch), self._number(next_offset, partition), self._takes(partition, next_offset))
            case ["REPLACED", other, next_offset]:
                raise LogReplaced(
                    f"{self._place}: partition {partition} followed log {other} to offset {next_offset}, and this is "
                    f"log {log}; was the topic made anew? Start the worker so that it adopts the new log, or restore it"
                )
            case answer:
                raise self._bad(answer, partition)

    def commit(
        self,
        log: str,
        partition: int,
        *,
        epoch: int,
        previous_offset: int,
        next_offset: int,
        entries: Sequence[Entry],
        schema: ReadingSchema,
    ) -> Outcome:
        """Apply the entries in one call, all or nothing, and return the outcome.

        A call holds up everybody else on the server, 0.2 ms per 128 entries: `worker.commit` cuts what it commits.
        """
        try:
            batch = checked(entries, schema, previous_offset, next_offset)
        except BadBatch as flaw:
            return self._refusal(log, partition, epoch, previous_offset, flaw)
        if schema is not self._schema:
            self._schema, self._schema_text = schema, SchemaText(schema.id, msgspec.json.encode(schema))
        outcome = self._committed(log, partition, epoch, previous_offset, batch)
        if outcome is not Outcome.APPLIED:
            self._marks.pop((log, partition), None)
        return outcome

    def begin_alone(self, partition: int, offset: int) -> int:
        """Note that this record is about to be read alone; how often that was noted before, and came to no commit."""
        return self._count_at(partition, "alone", str(offset)) - 1

    def take_rescoring(self, log: str, partition: int, schema: ReadingSchema) -> Rescoring:
        """The partition to be read again with this schema, under a new epoch; its workers are left alone."""
        try:
            return redis_rescoring.take(self._server, log, partition, schema)
        except redis_rescoring.UnexpectedAnswer as answer:
            raise self._bad(_texts(answer.args[0]), partition) from None

    def rescore(
        self,
        log: str,
        partition: int,
        *,
        taken: Rescoring,
        previous_offset: int,
        next_offset: int,
        points: Sequence[Point],
        schema: ReadingSchema,
    ) -> Outcome:
        """Add readings of what the workers have stored, and return the outcome; see `RescoringStore`."""
        try:
            rows = checked(points, schema, 0, len(points)).rows if points else packed([])
            offsets = (previous_offset, next_offset)
            return redis_rescoring.rescore(self._server, log, partition, taken, offsets, points, rows, schema)
        except BadBatch as flaw:
            _log.error("refused readings of partition %d of log %s: %s", partition, log, flaw)
            return Outcome.REFUSED
        except redis_rescoring.UnexpectedAnswer as answer:
            raise self._bad(_texts(answer.args[0]), partition) from None

    def skipped(self, log: str, partition: int) -> dict[SkippedReason, int]:
        """Return how many deliveries of a partition were skipped, by reason."""
        fields = ["log", *(f"passed:{reason}" for reason in COUNTED)]
        followed, *counts = self._server.ask("HMGET", Keys(partition).position, *fields)
        mine = followed == log.encode()
        return {reason: int(count or 0) if mine else 0 for reason, count in zip(COUNTED, counts, strict=True)}

    def high_water(self, source: str, session: str) -> int | None:
        """The highest sequence applied of a session; None: nothing yet."""
        mark = self._field(source, session, "high_water")
        return None if mark is None else int(mark)

    def interruptions(self, source: str, session: str) -> tuple[int, ...]:
        """The sequences of the interruptions that took numbers: those of before 1.1 of the wire format."""
        gaps = self._server.ask("HGETALL", self._keys(source).gaps(source, session))
        reason = str(GapReason.INTERRUPTED).encode()
        return tuple(
            sorted(n for n, gap in ((int(n), gap) for n, gap in gaps.items()) if n >= 0 and gap.split()[-1] == reason)
        )

    def is_closed(self, source: str, session: str) -> bool:
        """Whether the session was looked at to its end."""
        return self._field(source, session, "closed") == b"1"

    def keeps_pictures(self, source: str, session: str) -> bool:
        """Return whether pictures of people may be kept, by the session's opening."""
        return self._field(source, session, "keeps_pictures") == b"1"

    def close(self) -> None:
        """Let go of the connections; what was applied stays."""
        self._server.close()

    def _takes(self, partition: int, next_offset: str) -> int:
        """How often the partition was taken at this offset, one after the other; a record begun alone counts too."""
        begun: bool = self._server.ask("HGET", Keys(partition).position, "alone_at") == next_offset.encode()
        return self._count_at(partition, "takes", next_offset) + begun

    def _count_at(self, partition: int, what: str, offset: str) -> int:
        """Count one more of this at this offset, in the place of any other offset."""
        key = Keys(partition).position
        at, count = self._server.ask("HMGET", key, f"{what}_at", what)
        total = int(count) + 1 if at == offset.encode() else 1
        self._server.ask("HSET", key, f"{what}_at", offset, what, total)
        return total

    @property
    def _place(self) -> str:
        return self._server.place

    def _keys(self, source: str) -> Keys:
        return Keys(partition_of(source, self._partitions))

    def _field(self, source: str, session: str, field: str) -> bytes | None:
        found: bytes | None = self._server.ask("HGET", self._keys(source).session(source, session), field)
        return found

    def _laid_out(self, wanted: int | None) -> int:
        """The number of partitions, written down where the store is new."""
        found = self._server.ask("HGETALL", LAYOUT)
        if not found:
            self._server.ask("HSETNX", LAYOUT, "partitions", wanted or PARTITIONS)
            self._server.ask("HSETNX", LAYOUT, "version", LAYOUT_VERSION)
            found = self._server.ask("HGETALL", LAYOUT)
        version, partitions = int(found.get(b"version", 0)), int(found.get(b"partitions", 0))
        if version > LAYOUT_VERSION:
            raise StoreTooNew(f"{self._place}: written by a newer Mien (layout {version}; this one {LAYOUT_VERSION})")
        if version < LAYOUT_VERSION or partitions < 1:
            raise BadStore(f"{self._place}: {LAYOUT} says layout {version}, {partitions} partitions; wanted layout 1")
        if wanted not in (None, partitions):
            raise BadStore(f"{self._place}: laid out for {partitions} partitions, the topic has {wanted}")
        return partitions

    def _committed(self, log: str, partition: int, epoch: int, offset: int, batch: Batch) -> Outcome:
        """One call, repeated while its answer corrects what we remembered."""
        known = self._marks.setdefault((log, partition), {})
        if len(known) > REMEMBERED:
            known.clear()
        for _ in range(ATTEMPTS):
            marks = {key: known.get(key) for key in sessions_of(batch)}
            changes = changes_of(batch, marks, None)
            call = Call(partition)
            indexed = self._indexed(partition, changes)
            packed = call.batch(changes, marks, batch.rows, indexed, self._schema_text, self._retention_s)
            span = (log, str(epoch), str(offset), str(offset + len(batch.entries)))
            found = self._server.call(COMMIT, call.keys, (*span, packed, call.body))
            match found:
                case [b"APPLIED"]:
                    known.update(changes.marks)
                    return Outcome.APPLIED
                case [b"FENCED"]:
                    return Outcome.FENCED
                case [b"STALE", _]:
                    return Outcome.STALE
                case [b"MARKS", *actual]:
                    known.update(zip(marks, (int(mark) if mark else None for mark in actual), strict=True))
                case [b"INDEX"]:
                    continue
                case answer:
                    raise self._bad(_texts(answer), partition)
        raise StoreUnavailable(f"{self._place}: partition {partition} changed under us {ATTEMPTS} times")

    def _indexed(self, partition: int, changes: Changes) -> dict[str, Indexed]:
        """What is stored of the people who are to be erased."""
        keys, found = Keys(partition), {}
        for person in changes.erased:
            source = self._server.ask("HGET", keys.person(person), "source")
            members = self._server.ask("ZRANGE", keys.chunks(person), 0, -1)
            found[person] = Indexed((source or b"").decode(), _texts(members))
        return found

    def _refusal(self, log: str, partition: int, epoch: int, offset: int, flaw: BadBatch) -> Outcome:
        """Return the outcome of a batch that no store applies: FENCED and STALE come before REFUSED."""
        found = self._server.ask("HMGET", Keys(partition).position, "log", "epoch", "next_offset")
        if found[:2] != [log.encode(), str(epoch).encode()]:
            return Outcome.FENCED
        if found[2] != str(offset).encode():
            return Outcome.STALE
        _log.error("refused a batch of partition %d of log %s: %s", partition, log, flaw)
        return Outcome.REFUSED

    def _number(self, text: str, partition: int) -> int:
        if not (text.isascii() and text.isdigit()):
            raise BadStore(f"{self._place}: partition {partition} stands at {text!r}, wanted an offset")
        return int(text)

    def _bad(self, answer: list[str], partition: int) -> BadStore:
        match answer:
            case ["LOST"]:
                return BadStore(
                    f"{self._place}: partition {partition} has results but no position ({Keys(partition).position}); "
                    "it was deleted or evicted: restore the store, or empty it and read the log anew"
                )
            case ["DAMAGED", key, flaw]:
                return BadStore(f"{self._place}: the key {key!r} {flaw}; nothing was written")
            case ["FORBIDDEN", command]:
                return BadStore(f"{self._place}: this user may not {command}; nothing was written")
        return BadStore(f"{self._place}: answered {answer!r}; wanted an answer of mien_v1")


def _texts(reply: Sequence[Any]) -> list[str]:
    return [part.decode(errors="backslashreplace") if isinstance(part, bytes) else str(part) for part in reply]
