"""The oracle is only worth something if it finds what is wrong: a sound store, then one tampered with."""

import numpy as np
import pytest
import redis
from msgspec.structs import replace

from bench.faults.control import Control
from bench.faults.oracle import Said, Verdict, judge, stored
from bench.faults.reading import NumberEngine, card
from bench.faults.source import Numbers, Plan, source_name
from contract.keys import Keys
from contract.readings import Point, Skipped, SkippedReason
from contract.records import Face, Record
from worker.reading.crops import pixels
from worker.reading.reader import Reader
from worker.store.redis import RedisStore

SOURCE = 5
FRAMES = 30
PLAN = Plan((SOURCE,))
SAID = Said(PLAN, {SOURCE: FRAMES})
KEYS = Keys(0)


def records() -> list[Record]:
    faces = [record for frame in range(FRAMES) for record in PLAN.frame(SOURCE, frame)]
    return [PLAN.opening(SOURCE), *faces, PLAN.closing(SOURCE, FRAMES)]


def verdict_on(client: "redis.Redis") -> Verdict:
    return judge(stored(client, range(2)), [SAID])


@pytest.fixture
def reader(tmp_path) -> Reader:
    return Reader([NumberEngine(card(1), Control(tmp_path / "none"))])


@pytest.fixture
def store(fresh_redis):
    store = RedisStore(fresh_redis)
    yield store
    store.close()


@pytest.fixture
def client(fresh_redis):
    client = redis.Redis.from_url(fresh_redis)
    yield client
    client.close()


def commit(store, reader, said) -> None:
    entries = [
        Point(record, reader([pixels(record.crop)])[0]) if isinstance(record, Face) else record for record in said
    ]
    lease = store.take("log", 0)
    end = lease.next_offset + len(entries)
    given = {"epoch": lease.epoch, "previous_offset": lease.next_offset, "next_offset": end}
    assert store.commit("log", 0, **given, entries=entries, schema=reader.schema) == "applied"


def test_a_sound_store_is_clean(store, client, reader) -> None:
    commit(store, reader, records())
    assert verdict_on(client) == Verdict(committed=2 * FRAMES, lost=0, dup=0, wrong=0, marked=0, notes=())


def test_a_face_that_is_missing_is_lost(store, client, reader) -> None:
    commit(store, reader, [record for record in records() if not (isinstance(record, Face) and record.frame == 7)])
    assert verdict_on(client).lost == 2


def test_a_face_whose_gap_says_why_is_marked_not_lost(store, client, reader) -> None:
    said = records()
    place = next(n for n, record in enumerate(said) if isinstance(record, Face) and record.frame == 7)
    face = said[place]
    gap = (face.event_time, face.event_time + 1)
    said[place] = Skipped(
        reason=SkippedReason.REJECTED, source=face.source, session=face.session, sequence=face.sequence, gap=gap
    )
    commit(store, reader, said)
    verdict = verdict_on(client)
    assert (verdict.lost, verdict.marked, verdict.clean) == (0, 1, True)


def test_points_appended_twice_are_doubled_and_the_sums_do_not_fit(store, client, reader) -> None:
    commit(store, reader, records())
    person = f"p-{SOURCE}-0-1"
    minute, schema = client.zrange(KEYS.chunks(person), 0, 0)[0].decode().split(":")
    key = KEYS.chunk(person, int(minute), schema)
    client.append(key, client.getrange(key, 0, len(client.get(key)) // FRAMES - 1))
    verdict = verdict_on(client)
    assert verdict.dup == 1
    assert verdict.wrong > 0  # the person's row and the buckets count one less


def test_a_reading_on_anothers_timeline_is_wrong(store, client, reader) -> None:
    said = [
        replace(record, person=f"p-{SOURCE}-0-1") if isinstance(record, Face) and record.frame == 3 else record
        for record in records()
    ]
    commit(store, reader, said)
    assert f"p-{SOURCE}-0-1: holds a reading of" in " ".join(verdict_on(client).notes)


def test_a_reading_at_another_frame_is_wrong(store, client, reader) -> None:
    said = [
        replace(record, frame=4) if isinstance(record, Face) and record.frame == 3 else record for record in records()
    ]
    commit(store, reader, said)
    assert verdict_on(client).wrong == 2


def test_a_face_that_nobody_published_is_wrong(store, client, reader) -> None:
    commit(store, reader, records())
    fewer = Said(PLAN, {SOURCE: FRAMES - 1})
    verdict = judge(stored(client, range(1)), [fewer])
    assert verdict.wrong >= 2
    assert str(Numbers(SOURCE, 0, FRAMES - 1, 0).frame) in " ".join(verdict.notes)


def test_a_bucket_that_does_not_add_up_is_wrong(store, client, reader) -> None:
    commit(store, reader, records())
    key = next(key for key in client.scan_iter("*:buckets:*"))
    slot, body = next(iter(client.hgetall(key).items()))
    sums = np.frombuffer(body, "<u8").copy()
    sums[0] += 1
    client.hset(key, slot, sums.tobytes())
    assert "bucket" in " ".join(verdict_on(client).notes)


def test_a_session_that_was_not_closed_is_wrong(store, client, reader) -> None:
    commit(store, reader, records()[:-1])
    assert f"complete_until or closed is missing or early for ['{source_name(SOURCE)}']" in verdict_on(client).notes
