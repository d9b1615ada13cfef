"""What Redis alone has: no point in time, an address with a password, keys that expire, round trips that count."""

import threading
from collections.abc import Callable

import pytest
import redis

from contract.errors import BadRequest, BadStore, MienError, NotAStore, NotFound, StoreTooNew, StoreUnavailable
from contract.keys import LAYOUT
from mien.stack.ports import free_port
from query.store import Reader
from query.store.redis import NAMES_AT_ONCE, RedisReader
from query.timeline import Wanted, read_page
from tests.query.conftest import asking
from tests.query.stores import BOTH_NETS, FACE_NET, SECOND, StoreOnRedis, every_frame, shares


@pytest.fixture
def reader(redis_store: StoreOnRedis) -> RedisReader:
    return redis_store.reader()


def test_points_before_complete_until_are_there_whatever_is_committed_meanwhile(
    redis_store: StoreOnRedis, reader: RedisReader
) -> None:
    redis_store.session(complete_until=0, closed=False)
    redis_store.person("p", every_frame(1), shares(1))
    stop = threading.Event()

    def work() -> None:
        writer = redis.Redis.from_url(redis_store.url)
        keys = redis_store.keys("clip")
        body = writer.get(keys.chunk("p", 0, FACE_NET.id))
        for second in range(1, 2_000):
            if stop.is_set():
                break
            with writer.pipeline() as commit:  # as many points as the session is complete to
                commit.append(keys.chunk("p", 0, FACE_NET.id), body)
                commit.hset(keys.session("clip", "s1"), "complete_until", second).execute()
        writer.close()

    worker = threading.Thread(target=work)
    worker.start()
    ahead = []
    for _ in range(200):
        with reader.snapshot() as snapshot:
            until = snapshot.session("clip", "s1").complete_until or 0
            points = sum(len(part) for _, _, part in snapshot.points("p", 0, SECOND))
            ahead.append(points - 1 - until)
    stop.set()
    worker.join()

    assert min(ahead) >= 0
    assert max(ahead) > 0  # else nothing was written between two readings, and nothing was tested


def wanted(end: int, every: int) -> Wanted:
    return Wanted(person="p", begin=0, end=end, every=every, limit=100)


def test_a_net_that_comes_while_a_page_is_read_waits_for_the_next(
    redis_store: StoreOnRedis, reader: RedisReader
) -> None:
    redis_store.session()
    redis_store.person("p", every_frame(50), shares(50))
    with reader.snapshot() as snapshot:
        session = snapshot.session("clip", "s1")
        told = snapshot.schemas("p", 0, 10 * SECOND)

        redis_store.person("p", every_frame(50, begin=2 * SECOND), shares(50, 20), schema=BOTH_NETS)
        stretches = list(snapshot.points("p", 0, 10 * SECOND))
        edges = list(snapshot.points("p", -SECOND, 11 * SECOND))  # never told of: as it is now
        page = read_page(snapshot, session, wanted(10 * SECOND, SECOND))

    assert set(told) == {FACE_NET.id}
    assert [schema for _, schema, _ in stretches] == [FACE_NET.id]
    assert {schema for _, schema, _ in edges} == {FACE_NET.id, BOTH_NETS.id}
    assert page.n is not None
    assert page.n.sum() == 50


def test_who_is_erased_while_they_are_read_is_gone_from_there_on(
    redis_store: StoreOnRedis, reader: RedisReader
) -> None:
    redis_store.session()
    redis_store.person("p", every_frame(70 * 60, fps=1), shares(70 * 60))  # 70 minutes: more than are fetched at once
    with reader.snapshot() as snapshot:
        session = snapshot.session("clip", "s1")
        stretches = snapshot.points("p", 0, 4_200 * SECOND)
        first = next(stretches)
        redis_store.forget("p")

        rest = list(stretches)
        page = read_page(snapshot, session, wanted(4_200 * SECOND, 60 * SECOND))
        with pytest.raises(NotFound):
            snapshot.person("p")
        assert list(snapshot.people(None, None)) == []

    assert first[0] == 0
    assert sum(len(points) for *_, points in rest) == 4 * 60  # what had been fetched already
    assert page.n is not None
    assert page.n.sum() == 0


def test_what_has_expired_is_passed_over(redis_store: StoreOnRedis, reader: RedisReader) -> None:
    redis_store.session()
    keys = redis_store.keys("clip")
    for name in ("p", "q"):
        redis_store.person(name, every_frame(100 * 25), shares(100 * 25))
    redis_store.server.delete(keys.person("p"), keys.chunk("q", 0, FACE_NET.id))

    with reader.snapshot() as snapshot:
        assert [person.id for person in snapshot.people(None, None)] == ["q"]
        assert snapshot.headcounts() == {("clip", "s1"): 1}
        assert [chunk for chunk, _, _ in snapshot.points("q", 0, 100 * SECOND)] == [1]
        assert snapshot.picture("p") is None


def test_a_thousand_sources_take_few_round_trips(
    redis_store: StoreOnRedis, reader: RedisReader, round_trips: Callable[[], int]
) -> None:
    for number in range(1_000):
        redis_store.session(f"camera{number:04}")
        redis_store.person(f"p{number:04}", every_frame(1), shares(1), source=f"camera{number:04}")
    round_trips()

    with reader.snapshot() as snapshot:
        opening = round_trips()
        sessions, for_sessions = snapshot.sessions(), round_trips()
        people, for_people = list(snapshot.people(None, None)), round_trips()

    assert [session.source for session in sessions] == [f"camera{number:04}" for number in range(1_000)]
    assert [person.id for person in people] == [f"p{number:04}" for number in range(1_000)]
    assert opening <= 5  # a new connection introduces itself first
    assert for_sessions <= 2 + 1_000 / NAMES_AT_ONCE
    assert for_people <= 1 + 1_000 / 50 + 1_000 / NAMES_AT_ONCE


def test_the_index_of_a_minute_is_read_once(
    redis_store: StoreOnRedis, reader: RedisReader, round_trips: Callable[[], int]
) -> None:
    redis_store.session()
    redis_store.person("p", every_frame(100), shares(100))

    with reader.snapshot() as snapshot:
        snapshot.person("p")
        round_trips()
        schemas = snapshot.schemas("p", 0, 60 * SECOND)
        stretches = list(snapshot.points("p", 0, 60 * SECOND))

    assert {schema for _, schema, _ in stretches} == set(schemas)
    assert sum(len(points) for *_, points in stretches) == 100
    assert round_trips() == 3  # the index, the schemas, the points


def test_an_index_too_long_to_keep_is_read_in_whole(
    redis_store: StoreOnRedis, reader: RedisReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("query.store.redis.points.PLACES_KEPT", 5)
    redis_store.session()
    redis_store.person("p", 60 * SECOND * every_frame(20, fps=SECOND), shares(20))  # one a minute

    with reader.snapshot() as snapshot:
        schemas = snapshot.schemas("p", 0, 1_200 * SECOND)
        stretches = list(snapshot.points("p", 0, 1_200 * SECOND))

    assert len(schemas) == 1
    assert sum(len(points) for *_, points in stretches) == 20


def test_a_day_takes_few_round_trips(
    redis_store: StoreOnRedis, reader: RedisReader, round_trips: Callable[[], int]
) -> None:
    redis_store.session()
    redis_store.person("p", 60 * SECOND * every_frame(1_440, fps=SECOND), shares(1_440))  # one a minute
    round_trips()

    with reader.snapshot() as snapshot:
        snapshot.person("p")
        stretches = list(snapshot.points("p", 0, 86_400 * SECOND))

    assert sum(len(points) for *_, points in stretches) == 1_440
    assert round_trips() <= 35  # 1,440 chunks by 64, and a dozen to begin with


def test_no_command_walks_over_the_whole_server(redis_store: StoreOnRedis) -> None:
    redis_store.session()
    redis_store.person("p", every_frame(100), shares(100))
    redis_store.server.config_resetstat()

    get = asking(redis_store.reader())
    for path in ("readyz", "v1/sources", "v1/people", "v1/people/p", "v1/people/p/picture", "v1/people/p/timeline"):
        get(f"/{path}")

    used = {name.removeprefix("cmdstat_") for name in redis_store.server.info("commandstats")}
    assert {"hgetall", "zrangebyscore", "mget"} <= used
    assert not used & {"keys", "scan", "eval", "evalsha", "fcall"}


def refused(url: str, kind: type[MienError], message: str) -> str:
    reader: Reader = RedisReader(url)
    with pytest.raises(kind, match=message) as refusal, reader.snapshot():
        pass
    reader.close()
    return str(refusal.value)


def test_a_server_without_our_data_says_what_it_holds(redis_store: StoreOnRedis) -> None:
    server = redis_store.server
    server.flushall()
    refused(redis_store.url, NotAStore, "no Mien data at redis://.*nothing stored; does a worker write there")
    server.set("birds", "7")
    refused(redis_store.url, NotAStore, "no Mien data at redis://.*1 keys of other programs")
    server.set(LAYOUT, "7")
    refused(redis_store.url, NotAStore, "mien:layout is not ours")
    server.delete(LAYOUT)
    server.hset(LAYOUT, mapping={"version": "one"})
    refused(redis_store.url, NotAStore, "holds version b'one', partitions None")


def test_another_layout_is_refused(redis_store: StoreOnRedis) -> None:
    redis_store.server.hset(LAYOUT, "version", 2)
    refused(redis_store.url, StoreTooNew, "layout 2; this one reads 1")
    redis_store.server.hset(LAYOUT, "version", 0)
    refused(redis_store.url, BadStore, "layout 0 of an older Mien")


def test_a_server_that_does_not_answer_is_unavailable_and_named_without_its_password() -> None:
    address = f"127.0.0.1:{free_port()}/3"
    assert "geheim" not in refused(f"redis://user:geheim@{address}", StoreUnavailable, f"redis://{address}: .*refused")
    refused("unix://:geheim@/nowhere/redis.sock?db=2", StoreUnavailable, r"unix:///nowhere/redis\.sock\?db=2: ")


def test_a_wrong_password_is_refused_and_never_shown(redis_store: StoreOnRedis) -> None:
    text = refused(
        redis_store.url.replace("redis://", "redis://nobody:geheim@"), BadStore, "Redis refuses our user or password"
    )
    assert "geheim" not in text


@pytest.mark.parametrize("url", ["redis://me:ge/heim@host", "redis://me:geheim@host:many", "http://me:geheim@host"])
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BadRequest, match="no address of Redis") as refusal:
        RedisReader(url)
    assert "heim" not in str(refusal.value)
    assert refusal.value.__context__ is None  # nor by its cause


def test_a_store_that_does_not_answer_is_told_when_to_ask_again() -> None:
    reader = RedisReader(f"redis://me:geheim@127.0.0.1:{free_port()}")
    answer = asking(reader)("/v1/sources")

    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:mien:problem:store-unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert "127.0.0.1" not in answer.text
    assert asking(reader)("/healthz").status_code == 200


def test_a_connection_that_the_server_cut_is_made_anew(redis_store: StoreOnRedis, reader: RedisReader) -> None:
    redis_store.session()
    with reader.snapshot() as snapshot:
        assert len(snapshot.sessions()) == 1
    redis_store.server.client_kill_filter(_type="normal", skipme=True)

    with reader.snapshot() as snapshot:
        assert len(snapshot.sessions()) == 1
