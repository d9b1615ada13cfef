"""What a Redis holds, read key by key without the code under test, and its indices held against it."""

import struct
from collections import Counter, defaultdict
from typing import Any
from urllib.parse import unquote

import redis

READ = {b"string": "get", b"hash": "hgetall", b"set": "smembers"}
POINT = "<II4h3B3b3H"
FLOATS = ("fps", "sample_hz", "picture_quality")
COLUMNS = ("uri", "name", "settings", "opened_at", "dated", "width", "height", "fps", "sample_hz", "complete_until")
ZEROES = {"keeps_pictures": 0, "start_offset": 0, "frames": 0, "looked_at": 0, "closed": 0}


def read_redis(client: "redis.Redis", into: Any) -> None:
    """Fill a harness' Contents; every index and every bucket has to agree with what it is made of."""
    found: dict[str, dict[tuple[str, ...], Any]] = defaultdict(dict)
    for key, value in everything(client).items():
        if key == "mien:layout":
            assert set(value) == {b"version", b"partitions"}
            continue
        mien, partition, kind, *names = key.split(":")
        assert mien == "mien"
        assert partition.strip("{}").isdigit()
        assert found[kind].setdefault(tuple(map(unquote, names)), value) is value, f"{key} in two partitions"
        if kind == "position":
            into.skipped.update({f: int(value.get(f"passed:{f}".encode(), 0)) for f in ("rejected", "shed")})
            del found[kind][()]
        if kind in ("rescored", "rescoring"):
            found[kind].clear()
        if kind in ("sources", "schemas", "erased", "born"):
            one = found[kind].pop(())
            found[f"all {kind}"].setdefault((), []).extend(one if kind != "born" else [one])
    into.skipped = Counter(rejected=into.skipped["rejected"], shed=into.skipped["shed"])
    into.erased = {person.decode() for person in found["all erased"].get((), [])}
    into.sessions = {key: dict.fromkeys(COLUMNS) | ZEROES | row_of(row) for key, row in found["session"].items()}
    blank = {"picture": None, "picture_quality": None}
    into.people = {person: blank | row_of(row) for (person,), row in found["person"].items()}
    into.gaps = {
        (*key, int(sequence), int(begin), int(end), reason.decode(), *(map(int, faces) if faces else (0,)))
        for key, gaps in found["gaps"].items()
        for sequence, (begin, end, reason, *faces) in ((sequence, gap.split()) for sequence, gap in gaps.items())
        if (sequence, begin, end) != (b"-1", b"0", b"0")  # an interruption of a session that has gone on
    }
    size = struct.calcsize(POINT)
    for person, chunk, name in sorted(found["chunk"], key=lambda key: (key[0], int(key[1]))):
        body = found["chunk"][person, chunk, name]
        assert body
        cut = [body[at : at + size] for at in range(0, len(body), size)]
        into.at(name, person).extend((int(chunk), one) for one in cut)
    assert_indices(found, into)


def everything(client: "redis.Redis") -> dict[str, Any]:
    keys = sorted(client.scan_iter(count=10_000))
    types = _all(client, [("type", key) for key in keys])
    reads = [
        ("zrange", key, 0, -1, "withscores") if kind == b"zset" else (READ[kind], key)
        for key, kind in zip(keys, types, strict=True)
    ]
    return {key.decode(): value for key, value in zip(keys, _all(client, reads), strict=True)}


def assert_indices(found: dict[str, dict[tuple[str, ...], Any]], contents: Any) -> None:
    """Sources, sessions, people, chunks and buckets are exactly those of the rows and points."""
    sources = {source.decode() for source in found["all sources"].get((), [])}
    sessions = {(source, one.decode()) for (source,), names in found["sessions"].items() for one in names}
    assert sources == {source for source, _ in contents.sessions}
    assert sessions == set(contents.sessions)
    people = {(s, p.decode(), score) for (s,), listed in found["people"].items() for p, score in listed}
    assert people == {(row["source"], person, row["first_time"]) for person, row in contents.people.items()}
    chunks = {
        (person, *member.decode().split(":")) for (person,), listed in found["chunks"].items() for member, _ in listed
    }
    assert chunks == set(found["chunk"])
    assert {schema for _, _, schema in chunks} <= {schema.decode() for schema in found["all schemas"].get((), [])}
    assert stored_buckets(found) == summed_buckets(found)


def stored_buckets(found: dict[str, dict[tuple[str, ...], Any]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    return {
        (person, schema, int(level), int(slab) * 360 + int(slot)): struct.unpack("<5Q", body)
        for (person, schema, level, slab), buckets in found["buckets"].items()
        for slot, body in buckets.items()
    }


def summed_buckets(found: dict[str, dict[tuple[str, ...], Any]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """What the buckets have to be: the sums over the stored points."""
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 5)
    for (person, chunk, schema), body in found["chunk"].items():
        for point in struct.iter_unpack(POINT, body):
            for level in (10, 60):
                bucket = (int(chunk) * 60_000_000 + point[0]) // (level * 1_000_000)
                one = sums[person, schema, level, bucket]
                one[:] = [a + b for a, b in zip(one, (1, point[6], *point[12:]), strict=True)]
    return {key: tuple(one) for key, one in sums.items()}


def row_of(row: dict[bytes, bytes]) -> dict[str, Any]:
    return {field.decode(): _value(field.decode(), text) for field, text in row.items()}


def _value(field: str, text: bytes) -> Any:
    if field == "picture":
        return text
    if field in FLOATS:
        return float(text)
    return text.decode() if field in ("uri", "name", "settings", "source", "session") else int(text)


def dumped(client: "redis.Redis") -> dict[bytes, bytes]:
    """All keys, as a replica has them."""
    keys = sorted(client.scan_iter(count=10_000))
    return dict(zip(keys, _all(client, [("dump", key) for key in keys]), strict=True))


def restored(client: "redis.Redis", copy: Any) -> None:
    client.flushdb()
    _all(client, [("restore", key, 0, body) for key, body in copy.items()])


def _all(client: "redis.Redis", commands: list[tuple[Any, ...]]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline.execute()
