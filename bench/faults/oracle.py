"""What Redis holds, read without the code under test, and what is lost, doubled or wrong in it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import redis
from numpy.typing import NDArray

from bench.faults.reading import numbers_of
from bench.faults.source import Numbers, Plan, box_of, person_name, session_name, source_name
from contract.keys import BUCKET_LEVELS_S, BUCKET_SLOTS, Keys
from contract.labels import GapReason
from contract.points import VALUE_STEP, unpack
from contract.readings import ReadingSchema

MARKED = (GapReason.DROPPED, GapReason.REJECTED)  # a face may be missing where one of these says so


@dataclass(slots=True)
class Stored:
    """What the keys of some partitions hold."""

    faces: Counter[Numbers] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # points that belong to another frame, person or model
    gaps: dict[tuple[str, str], list[tuple[int, int, str]]] = field(default_factory=dict)
    complete_until: dict[tuple[str, str], int] = field(default_factory=dict)
    closed: set[tuple[str, str]] = field(default_factory=set)
    next_offset: dict[int, int] = field(default_factory=dict)
    logs: dict[int, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    models: Counter[int] = field(default_factory=Counter)  # points by the version that made them


@dataclass(frozen=True, slots=True)
class Said:
    """What one producer has published."""

    plan: Plan
    frames: Mapping[int, int]  # source -> frames
    unreadable: frozenset[Numbers] = frozenset()  # their moments must be marked, no point may claim to be one
    gone: frozenset[Numbers] = frozenset()  # of these nothing need be said: they never reached a worker

    @property
    def expected(self) -> set[Numbers]:
        """The faces that have to be in the store, or in a gap that says why not."""
        return self.plan.expected(self.frames) - self.gone


@dataclass(frozen=True, slots=True)
class Verdict:
    """The four numbers, and what stands behind them."""

    committed: int
    lost: int  # expected, neither stored nor covered by a gap
    dup: int
    wrong: int
    marked: int  # expected, not stored, covered by a gap with a reason
    notes: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled or wrong."""
        return not (self.lost or self.dup or self.wrong)


def stored(server: "redis.Redis", partitions: Iterable[int]) -> Stored:
    """Everything of these partitions, point by point."""
    found = Stored()
    for partition in partitions:
        keys = Keys(partition)
        position = texts(server.hgetall(keys.position))
        found.next_offset[partition] = int(position.get("next_offset", 0))
        found.logs[partition] = position.get("log", "")
        found.skipped.update({name[7:]: int(n) for name, n in position.items() if name.startswith("passed:")})
        schemas = {
            text(name): msgspec.json.decode(body, type=ReadingSchema)
            for name, body in server.hgetall(keys.schemas).items()
        }
        for source in sorted(map(text, server.smembers(keys.sources))):
            _read_source(server, keys, source, schemas, found)
    return found


def judge(found: Stored, said: Sequence[Said]) -> Verdict:
    """What Redis holds against what was published."""
    expected = {numbers: each.plan for each in said for numbers in each.expected}
    missing = expected.keys() - found.faces.keys()
    lost = [numbers for numbers in missing if not _is_marked(expected[numbers], numbers, found)]
    unreadable = {numbers for each in said for numbers in each.unreadable}
    strangers = [numbers for numbers in found.faces if numbers not in expected or numbers in unreadable]
    unfinished = [] if lost else [name for each in said for name in _unfinished(each, found)]
    notes = [*_some("lost", lost), *_some("not asked for", strangers), *_some("wrong", found.wrong)]
    if unfinished:
        notes.append(f"complete_until or closed is missing or early for {unfinished[:3]}")
    return Verdict(
        committed=found.faces.total(),
        lost=len(lost),
        dup=sum(count - 1 for count in found.faces.values()),
        wrong=len(found.wrong) + len(strangers) + len(unfinished),
        marked=len(missing) - len(lost),
        notes=tuple(notes),
    )


def _read_source(
    server: "redis.Redis", keys: Keys, source: str, schemas: dict[str, ReadingSchema], found: Stored
) -> None:
    for session in map(text, server.smembers(keys.sessions(source))):
        row = texts(server.hgetall(keys.session(source, session)))
        if "complete_until" in row:
            found.complete_until[source, session] = int(row["complete_until"])
        if row.get("closed", "0") == "1":
            found.closed.add((source, session))
        for gap in map(text, server.hvals(keys.gaps(source, session))):
            begin, end, reason = gap.split(" ", 2)
            found.gaps.setdefault((source, session), []).append((int(begin), int(end), reason))
    for person in map(text, server.zrange(keys.people(source), 0, -1)):
        _read_person(server, keys, person, schemas, found)


def _read_person(
    server: "redis.Redis", keys: Keys, person: str, schemas: dict[str, ReadingSchema], found: Stored
) -> None:
    count = 0
    for schema_id, blobs in _chunks(server, keys, person):
        schema = schemas.get(schema_id)
        if schema is None:
            found.wrong.append(f"{person}: points under schema {schema_id}, which nobody stored")
            continue
        columns = unpack(blobs, len(schema.channels))
        words = np.rint(columns.values.astype(np.float64) * VALUE_STEP).astype(np.int64)
        for row in range(len(columns)):
            numbers, model = numbers_of(words[row])
            found.faces[numbers] += 1
            found.models[model] += 1
            if flaw := _flaw(numbers, model, person, schema, int(columns.frame[row]), columns.box_xywh[row]):
                found.wrong.append(flaw)
        found.wrong += _flaws_of_buckets(server, keys, person, schema_id, columns.event_time, words)
        count += len(columns)
    kept = server.hget(keys.person(person), "points")
    if kept is None or int(kept) != count:
        found.wrong.append(f"{person}: its row counts {kept!r} points, its chunks hold {count}")


def _chunks(server: "redis.Redis", keys: Keys, person: str) -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """(schema id, [(minute, packed points)]) of a person."""
    blobs: dict[str, list[tuple[int, bytes]]] = {}
    for name in map(text, server.zrange(keys.chunks(person), 0, -1)):
        minute, schema_id = name.split(":")
        body = bytes(server.get(keys.chunk(person, int(minute), schema_id)) or b"")  # type: ignore[arg-type]
        blobs.setdefault(schema_id, []).append((int(minute), body))
    yield from blobs.items()


def _flaw(
    numbers: Numbers, model: int, person: str, schema: ReadingSchema, frame: int, box: NDArray[np.float32]
) -> str:
    """Why the point does not belong where it lies; empty: it does."""
    if person_name(numbers) != person:
        return f"{person}: holds a reading of {numbers}"
    if numbers.frame != frame or not np.allclose(box, box_of(numbers), atol=0.01):  # boxes are stored in half pixels
        return f"{person}: frame {frame}, box {box} hold a reading of {numbers}"
    version = schema.nets[0].version
    return "" if str(model) == version else f"{numbers}: read by model {model}, stored as {version}"


def _flaws_of_buckets(
    server: "redis.Redis", keys: Keys, person: str, schema_id: str, times: NDArray[np.int64], words: NDArray[np.int64]
) -> list[str]:
    """Buckets that do not add up exactly to the points in their time: the count, and the words of every channel."""
    flaws = []
    for level_s in BUCKET_LEVELS_S:
        numbers = times // (level_s * 1_000_000)
        wanted = {
            number: (int((numbers == number).sum()), *words[numbers == number].sum(0).tolist())
            for number in np.unique(numbers).tolist()
        }
        seen = {
            slab * BUCKET_SLOTS + int(slot): _count_and_words(body)
            for slab in {number // BUCKET_SLOTS for number in wanted}
            for slot, body in server.hgetall(keys.buckets(person, schema_id, level_s, slab)).items()
        }
        if seen != wanted:
            differ = sorted(number for number in wanted.keys() | seen.keys() if wanted.get(number) != seen.get(number))
            first = differ[0]
            flaws.append(f"{person}: bucket {first} of {level_s} s holds {seen.get(first)}, wanted {wanted.get(first)}")
    return flaws


def _count_and_words(body: Any) -> tuple[int, ...]:
    """Count and sums of the words in a bucket; the sum of the qualities between them is passed over."""
    count, _, *sums = np.frombuffer(body, "<u8").tolist()
    return (count, *sums)


def _is_marked(plan: Plan, numbers: Numbers, found: Stored) -> bool:
    time = plan.event_time(numbers.frame)
    key = (source_name(numbers.source), session_name(numbers.session))
    return any(begin <= time < end and reason in MARKED for begin, end, reason in found.gaps.get(key, ()))


def _unfinished(said: Said, found: Stored) -> list[str]:
    """Sources whose session is not closed at its end, or whose completeness is another time than that of its end."""
    session = session_name(said.plan.session)
    return [
        source_name(source)
        for source, frames in said.frames.items()
        if (source_name(source), session) not in found.closed
        or found.complete_until.get((source_name(source), session)) != said.plan.event_time(frames)
    ]


def _some(word: str, things: list[Numbers] | list[str]) -> list[str]:
    return [f"{len(things)} {word}, the first {things[0]}"] if things else []


def text(value: Any) -> str:
    """A name or value of Redis as text."""
    return bytes(value).decode()


def texts(values: Mapping[Any, Any]) -> dict[str, str]:
    """A hash of Redis as text."""
    return {text(name): text(value) for name, value in values.items()}
