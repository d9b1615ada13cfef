"""What Redis can do to a store: refuse, forget, fail over, be full, be somebody else's."""

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis

from contract.buckets import unpack_buckets
from contract.errors import BadRequest, BadStore, LogReplaced, StoreTooNew, StoreUnavailable
from contract.points import unpack
from contract.readings import Channel, ChannelKind, Entry, NetVersion, ReadingSchema
from contract.topics import PARTITIONS
from tests.worker.examples import SCHEMA, a_gap, a_point, a_progress, an_erasure, an_opening, with_face
from tests.worker.store.harness import RedisHarness, fold
from tests.worker.store.own_redis import OwnRedis
from tests.worker.store.redis_contents import dumped
from worker.store import Lease, Outcome
from worker.store.redis import RedisStore
from worker.store.redis.call import Indexed
from worker.store.redis.server import RedisServer, load_functions

LOG = "log-a"
OTHER_SCHEMA = ReadingSchema((NetVersion("fake", "2", "1" * 64),), SCHEMA.channels)


@pytest.fixture
def harness(tmp_path: Path) -> RedisHarness:
    return RedisHarness(tmp_path)


@pytest.fixture
def store(harness: RedisHarness) -> Iterator[RedisStore]:
    store = harness.open()
    yield store
    store.close()


@pytest.fixture
def lease(store: RedisStore) -> Lease:
    return store.take(LOG, 0)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


def commit(
    store: RedisStore,
    lease: Lease,
    entries: Sequence[Entry],
    begin: int = 0,
    schema: ReadingSchema = SCHEMA,
    log: str = LOG,
) -> Outcome:
    end = begin + len(entries)
    return store.commit(
        log, 0, epoch=lease.epoch, previous_offset=begin, next_offset=end, entries=entries, schema=schema
    )


THE_LOG: list[Entry] = [
    an_opening(keeps_pictures=True),
    a_point(1, picture=b"jpeg"),
    a_point(2, "bob"),
    a_gap(3),
    a_progress(4),
    a_point(5, "eve"),
    an_erasure("eve"),
    *(a_point(i, "dan") for i in range(6, 40)),
]


def test_epochs_are_the_servers_time_and_never_the_same_after_a_failover(
    store: RedisStore, harness: RedisHarness, lease: Lease
) -> None:
    before = harness.copy(store)
    lost = store.take(LOG, 0)
    harness.fail_over(store, before)
    again = store.take(LOG, 0)

    assert abs(lease.epoch - time.time() * 1e6) < 60e6  # µs; the server shares our clock
    assert lease.epoch < lost.epoch < again.epoch
    assert commit(store, lost, [an_opening()]) is Outcome.FENCED


def test_an_epoch_rises_also_where_the_clock_went_back(store: RedisStore, harness: RedisHarness) -> None:
    store.take(LOG, 0)
    harness.client.hset("mien:{0}:position", "epoch", 4_000_000_000_000_000)  # the year 2096

    assert store.take(LOG, 0).epoch == 4_000_000_000_000_001


def test_a_memory_that_a_failover_made_wrong_is_corrected(store: RedisStore, harness: RedisHarness) -> None:
    lease = store.take(LOG, 0)
    commit(store, lease, THE_LOG[:1])
    behind = harness.copy(store)
    commit(store, lease, THE_LOG[1:3], begin=1)
    harness.fail_over(store, behind)

    assert commit(store, lease, THE_LOG[1:], begin=1) is Outcome.APPLIED  # by the mark remembered, two were repeats

    assert harness.contents() == fold(THE_LOG)


KEYS = {
    "mien:{0}:position": "hash",
    "mien:{0}:sources": "set",
    "mien:{0}:schemas": "hash",
    "mien:{0}:erased": "set",
    "mien:{0}:sessions:cam": "set",
    "mien:{0}:session:cam:s1": "hash",
    "mien:{0}:gaps:cam:s1": "hash",
    "mien:{0}:people:cam": "zset",
    "mien:{0}:person:dan": "hash",
    "mien:{0}:person:eve": "hash",
    "mien:{0}:chunks:dan": "zset",
    "mien:{0}:chunks:eve": "zset",
    f"mien:{{0}}:chunk:dan:0:{SCHEMA.id}": "string",
    f"mien:{{0}}:buckets:dan:{SCHEMA.id}:10:0": "hash",
    f"mien:{{0}}:buckets:dan:{SCHEMA.id}:60:0": "hash",
}


def test_the_keys_below_are_all_that_a_commit_touches(store: RedisStore, harness: RedisHarness, lease: Lease) -> None:
    commit(store, lease, THE_LOG)

    mine = {key.decode() for key in harness.client.scan_iter() if not re.search(b"ann|bob|born|layout", key)}
    assert mine == {key for key in KEYS if "eve" not in key}


@pytest.mark.parametrize("functions", [True, False])
@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_the_wrong_type_stops_the_commit_before_it_has_written_anything(
    harness: RedisHarness, key: str, functions: bool
) -> None:
    store = RedisStore(harness.url, partitions=2, functions=functions)
    lease = store.take(LOG, 0)
    wrong = {"hash": "sadd", "set": "lpush", "zset": "sadd", "string": "sadd"}[KEYS[key]]
    harness.client.execute_command(wrong, f"{key}-wrong", "x")
    right = harness.client.dump(key)
    harness.client.rename(f"{key}-wrong", key)
    before = dumped(harness.client)

    with pytest.raises(BadStore, match=rf"{re.escape(key)}.* is of the wrong type"):
        commit(store, lease, THE_LOG)

    assert dumped(harness.client) == before
    harness.client.delete(key)
    if right:
        harness.client.restore(key, 0, right)
    assert commit(store, lease, THE_LOG) is Outcome.APPLIED
    assert harness.contents() == fold(THE_LOG)
    store.close()


@pytest.mark.parametrize(
    ("key", "command", "words"),
    [
        (f"mien:{{0}}:chunk:dan:0:{SCHEMA.id}", ("append", "x"), "bytes, wanted a multiple of 28"),
        (f"mien:{{0}}:buckets:dan:{SCHEMA.id}:60:0", ("hset", 0, "short"), "a bucket of 5 bytes, wanted 40"),
        ("mien:{0}:person:dan", ("hset", "points", "many"), "no number in points"),
        ("mien:{0}:position", ("hset", "passed:shed", "some"), "no number in passed:shed"),
    ],
)
def test_a_value_that_cannot_be_added_to_stops_the_commit_before_it_has_written_anything(
    store: RedisStore, harness: RedisHarness, lease: Lease, key: str, command: tuple[str, ...], words: str
) -> None:
    commit(store, lease, THE_LOG)
    name, *words_of = command
    harness.client.execute_command(name, key, *words_of)
    before = dumped(harness.client)

    with pytest.raises(BadStore, match=f"{re.escape(key)}.*{words}"):
        commit(store, lease, [a_point(40, "bob"), a_point(41, "dan")], begin=len(THE_LOG))

    assert dumped(harness.client) == before


def test_buckets_are_the_sums_of_the_points_and_never_mix_models(
    store: RedisStore, harness: RedisHarness, lease: Lease
) -> None:
    rng = np.random.default_rng(1)
    times = rng.integers(-70_000_000, 250_000_000, 500)
    points = [
        a_point(i, event_time=int(at), quality=float(rng.random()), values=tuple(rng.random(3)))
        for i, at in enumerate(times)
    ]
    for begin, schema in ((0, SCHEMA), (200, OTHER_SCHEMA), (300, SCHEMA), (400, OTHER_SCHEMA)):
        end = {0: 200, 200: 300, 300: 400, 400: 500}[begin]
        assert commit(store, lease, points[begin:end], begin, schema) is Outcome.APPLIED

    harness.contents()  # holds every bucket of every schema against the points
    bodies = harness.client.hgetall(f"mien:{{0}}:buckets:ann:{SCHEMA.id}:60:0")
    minutes = unpack_buckets([(int(slot), body) for slot, body in bodies.items()], 3, 60)
    chunk = unpack([(1, harness.client.get(f"mien:{{0}}:chunk:ann:1:{SCHEMA.id}"))], 3)
    second = minutes.begin.tolist().index(60_000_000)
    assert minutes.count[second] == len(chunk)
    assert np.allclose(minutes.values[second], chunk.values.sum(axis=0), rtol=1e-5)  # chunks are read as float32
    assert np.allclose(minutes.quality[second], chunk.quality.sum(), rtol=1e-5)


def test_a_schema_is_stored_with_the_points_it_explains(store: RedisStore, harness: RedisHarness, lease: Lease) -> None:
    wide = ReadingSchema(SCHEMA.nets, tuple(Channel(f"c{i}", ChannelKind.ACTION_UNIT) for i in range(20)))
    commit(store, lease, [an_opening()])
    assert not harness.client.exists("mien:{0}:schemas")

    commit(store, lease, [a_point(1)], begin=1)
    commit(store, lease, [a_point(2, "bob", values=(0.5,) * 20)], begin=2, schema=wide)

    bodies = harness.client.hgetall("mien:{0}:schemas")
    found = {key.decode(): msgspec.json.decode(body, type=ReadingSchema) for key, body in bodies.items()}
    assert found == {SCHEMA.id: SCHEMA, wide.id: wide}


def test_a_batch_is_one_call_however_large(
    store: RedisStore, harness: RedisHarness, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [an_opening(keeps_pictures=True), *(a_point(i, f"p{i % 3}", picture=bytes(20_000)) for i in range(1, 512))]
    calls: list[int] = []
    real = RedisServer.call

    def counted(self: RedisServer, *call: object) -> list[object]:
        calls.append(1)
        return real(self, *call)  # type: ignore[arg-type]

    monkeypatch.setattr(RedisServer, "call", counted)
    assert commit(store, lease, log) is Outcome.APPLIED

    assert len(calls) == 1
    assert harness.contents() == fold(log)


def test_a_person_expires_as_a_whole_and_nothing_else_does(harness: RedisHarness) -> None:
    store = RedisStore(harness.url, retention_s=3600)
    lease = store.take(LOG, 0)
    commit(store, lease, THE_LOG[:6])
    for key in harness.client.scan_iter():
        harness.client.expire(key, 60) if b"ann" in key else None
    commit(store, lease, [*THE_LOG[6:], a_point(40)], begin=6)

    lives = {key.decode(): harness.client.ttl(key) for key in harness.client.scan_iter(match="mien:{*")}
    personal = {key for key in lives if key.split(":")[2] in ("person", "chunks", "chunk", "buckets")}
    assert {lives[key] for key in personal} <= {3599, 3600}
    assert {lives[key] for key in set(lives) - personal} == {-1}
    store.close()


def test_another_log_is_followed_only_where_an_operator_says_so(harness: RedisHarness) -> None:
    careful, told = RedisStore(harness.url), RedisStore(harness.url, adopt_logs=True)
    lease = careful.take(LOG, 0)
    commit(careful, lease, THE_LOG)

    with pytest.raises(LogReplaced, match=rf"followed log log-a to offset {len(THE_LOG)}, and this is log log-b"):
        careful.take("log-b", 0)
    assert careful.take(LOG, 0).next_offset == len(THE_LOG)

    adopted = told.take("log-b", 0)
    assert adopted.next_offset == 0
    assert commit(careful, lease, THE_LOG, begin=len(THE_LOG)) is Outcome.FENCED
    assert commit(told, adopted, THE_LOG, log="log-b") is Outcome.APPLIED  # facts repeated count for nothing
    assert harness.contents() == fold(THE_LOG)
    careful.close()
    told.close()


def test_results_without_a_position_are_never_read_as_zero(
    store: RedisStore, harness: RedisHarness, lease: Lease
) -> None:
    commit(store, lease, THE_LOG)
    position = harness.client.dump("mien:{0}:position")
    harness.client.delete("mien:{0}:position")
    before = dumped(harness.client)

    for call in (lambda: store.take(LOG, 0), lambda: commit(store, lease, [a_point(40)], len(THE_LOG))):
        with pytest.raises(BadStore, match=r"partition 0 has results but no position \(mien:\{0\}:position\)"):
            call()

    assert dumped(harness.client) == before
    harness.client.delete("mien:{0}:born")  # the results betray the loss as well
    with pytest.raises(BadStore, match="no position"):
        store.take(LOG, 0)
    harness.client.restore("mien:{0}:position", 0, position)
    assert store.take(LOG, 0).next_offset == len(THE_LOG)


def test_an_emptied_server_begins_anew(store: RedisStore, harness: RedisHarness, lease: Lease) -> None:
    commit(store, lease, THE_LOG)
    harness.client.flushdb()

    assert commit(store, lease, [a_point(40)], len(THE_LOG)) is Outcome.FENCED
    fresh = store.take(LOG, 0)
    assert fresh.next_offset == 0
    assert commit(store, fresh, THE_LOG) is Outcome.APPLIED
    assert harness.contents() == fold(THE_LOG)


def test_the_layout_is_written_once_and_held(harness: RedisHarness) -> None:
    RedisStore(harness.url, partitions=3).close()
    assert harness.client.hgetall("mien:layout") == {b"version": b"1", b"partitions": b"3"}

    with pytest.raises(BadStore, match="laid out for 3 partitions, the topic has 12"):
        RedisStore(harness.url, partitions=12)
    store = RedisStore(harness.url)
    with pytest.raises(BadStore, match="partition 3, the store was laid out for 3"):
        store.take(LOG, 3)
    store.close()
    harness.client.hset("mien:layout", "version", 2)
    with pytest.raises(StoreTooNew, match=r"newer Mien \(layout 2; this one 1\)"):
        RedisStore(harness.url)
    harness.client.hset("mien:layout", mapping={"version": 0})
    with pytest.raises(BadStore, match="says layout 0, 3 partitions; wanted layout 1"):
        RedisStore(harness.url)


def test_a_new_store_has_the_partitions_of_the_topic(harness: RedisHarness) -> None:
    RedisStore(harness.url).close()

    assert harness.client.hget("mien:layout", "partitions") == str(PARTITIONS).encode()


def test_lost_functions_are_loaded_again(store: RedisStore, harness: RedisHarness, lease: Lease) -> None:
    harness.client.execute_command("FUNCTION", "FLUSH")

    assert commit(store, lease, THE_LOG) is Outcome.APPLIED
    assert harness.contents() == fold(THE_LOG)


def test_lost_scripts_are_loaded_again(harness: RedisHarness) -> None:
    store = RedisStore(harness.url, functions=False)
    lease = store.take(LOG, 0)
    harness.client.script_flush()

    assert commit(store, lease, THE_LOG) is Outcome.APPLIED
    store.close()


def test_older_functions_of_the_name_are_replaced_when_a_store_is_opened(harness: RedisHarness) -> None:
    older = "#!lua name=mien_v1\nredis.register_function('mien_take_v1', function() return 'old' end)"
    harness.client.function_load(older, replace=True)

    store = harness.open()

    assert store.take(LOG, 0).next_offset == 0
    store.close()


def test_a_full_server_refuses_whole_commits_and_takes_them_later(own: OwnRedis) -> None:
    harness = RedisHarness(own.folder, own)
    store = harness.open()
    lease = store.take(LOG, 0)
    commit(store, lease, THE_LOG[:5])
    harness.client.config_set("maxmemory", 1)
    before = dumped(harness.client)

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="refuses for now"):
            commit(store, lease, THE_LOG[5:], begin=5)
    assert dumped(harness.client) == before

    harness.client.config_set("maxmemory", 0)
    assert commit(store, lease, THE_LOG[5:], begin=5) is Outcome.APPLIED
    assert harness.contents() == fold(THE_LOG)
    store.close()


def test_a_server_that_cannot_save_refuses_for_now(own: OwnRedis) -> None:
    harness = RedisHarness(own.folder, own)
    store = harness.open()
    lease = store.take(LOG, 0)
    (own.folder / "dump.rdb").mkdir()  # in the way of the snapshot, as a full disk would be
    harness.client.config_set("save", "3600 1")
    harness.client.bgsave()
    while harness.client.info("persistence")["rdb_bgsave_in_progress"]:
        time.sleep(0.01)

    with pytest.raises(StoreUnavailable, match="MISCONF"):
        commit(store, lease, THE_LOG)

    harness.client.config_set("stop-writes-on-bgsave-error", "no")
    assert commit(store, lease, THE_LOG) is Outcome.APPLIED
    store.close()


def test_a_primary_without_its_replicas_or_turned_replica_refuses_for_now(own: OwnRedis) -> None:
    harness = RedisHarness(own.folder, own)
    store = harness.open()
    lease = store.take(LOG, 0)
    harness.client.config_set("min-replicas-to-write", 1)
    with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
        commit(store, lease, THE_LOG)
    harness.client.config_set("min-replicas-to-write", 0)

    harness.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="refuses for now"):
        commit(store, lease, THE_LOG)
    for call in (lambda: store.take(LOG, 0), harness.open):
        with pytest.raises(StoreUnavailable, match="is a slave now, wanted the primary"):
            call()

    harness.client.execute_command("REPLICAOF", "NO", "ONE")
    assert commit(store, lease, THE_LOG) is Outcome.APPLIED
    assert harness.contents() == fold(THE_LOG)
    store.close()


def test_a_server_that_evicts_is_refused_when_opened_and_when_taken(own: OwnRedis) -> None:
    harness = RedisHarness(own.folder, own)
    store = harness.open()
    harness.client.config_set("maxmemory-policy", "allkeys-lru")

    for call in (harness.open, lambda: store.take(LOG, 0)):
        with pytest.raises(BadStore, match="maxmemory-policy allkeys-lru loses results silently, wanted noeviction"):
            call()
    store.close()


def test_a_cluster_is_refused(tmp_path: Path) -> None:
    server = OwnRedis(tmp_path, cluster_enabled="yes")

    with pytest.raises(BadStore, match="a Redis Cluster; wanted one primary"):
        RedisStore(server.url)
    server.kill()


def test_an_old_server_is_refused_and_a_known_hole_is_a_warning(
    harness: RedisHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def says(**found: object) -> None:
        monkeypatch.setattr(redis.Redis, "info", lambda self: {"role": "master", **found})

    says(redis_version="6.0.16")
    with pytest.raises(BadStore, match=r"Redis 6\.0\.16, wanted at least 6\.2"):
        harness.open()

    for version, warned in {"7.2.13": 1, "7.2.14": 0, "8.0.9": 1, "8.6.3": 0, "9.0.0": 0}.items():
        caplog.clear()
        says(redis_version=version)
        with caplog.at_level(logging.WARNING):
            harness.open().close()
        assert len(caplog.records) == warned, version
        assert warned == caplog.text.count(f"Redis {version} has known holes in its Lua engine")


RIGHTS = (
    "+fcall +info +hget +hmget +hgetall +hset +hsetnx +hexists +hlen +sadd +sismember +smismember +zadd +zrange +zcard "
    "+zrem +strlen +append +expire +unlink +exists +set +time"
)


def test_a_user_with_the_rights_of_a_worker_can_commit_and_nothing_else(own: OwnRedis) -> None:
    harness = RedisHarness(own.folder, own)
    url = f"unix://worker:s3cret@{own.socket}"
    _let(harness.client, RIGHTS)
    with pytest.raises(BadStore, match="has no functions mien_v1 and this user may not load them"):
        RedisStore(url, partitions=2).take(LOG, 0)

    load_functions(own.url)
    store = RedisStore(url, partitions=2)
    assert commit(store, store.take(LOG, 0), THE_LOG) is Outcome.APPLIED

    assert harness.contents() == fold(THE_LOG)
    for command in ("FLUSHALL", "CONFIG GET save", "SCRIPT LOAD x", "KEYS *"):
        with pytest.raises(BadStore, match="no permissions"):
            store._server.ask(*command.split())
    store.close()


@pytest.mark.parametrize("missing", ["hset", "sadd", "zadd", "zrem", "append", "expire", "unlink", "set"])
def test_a_right_that_is_missing_shows_before_anything_is_written(own: OwnRedis, missing: str) -> None:
    harness = RedisHarness(own.folder, own)
    load_functions(own.url)
    _let(harness.client, RIGHTS)
    store = RedisStore(f"unix://worker:s3cret@{own.socket}", partitions=2)
    lease = store.take(LOG, 0)
    commit(store, lease, THE_LOG[:1])
    before = dumped(harness.client)
    harness.client.execute_command("ACL", "SETUSER", "worker", f"-{missing}")

    for call in (lambda: store.take(LOG, 0), lambda: commit(store, lease, THE_LOG[1:], begin=1)):
        with pytest.raises(BadStore, match=f"this user may not {missing.upper()}; nothing was written"):
            call()

    assert dumped(harness.client) == before
    store.close()


def test_a_user_who_may_not_ask_info_is_warned(own: OwnRedis, caplog: pytest.LogCaptureFixture) -> None:
    harness = RedisHarness(own.folder, own)
    load_functions(own.url)
    _let(harness.client, RIGHTS.replace("+info ", ""))

    RedisStore(f"unix://worker:s3cret@{own.socket}", partitions=2).close()

    assert "may not ask INFO, so version, role and maxmemory-policy go unchecked" in caplog.text


def _let(client: "redis.Redis", rights: str) -> None:
    client.execute_command("ACL", "SETUSER", "worker", "reset", "on", ">s3cret", "~mien:*", *rights.split())


def test_no_message_holds_a_password(own: OwnRedis) -> None:
    own.client().execute_command("ACL", "SETUSER", "default", "on", ">right", "resetpass", ">right")
    addresses = [
        f"unix://:s3cret@{own.socket}",
        f"unix://worker:s3cret@{own.socket}",
        "redis://:s3cret@127.0.0.1:1",
        "redis://worker:s3cret@nowhere.invalid:6379/0",
        "redis://worker:s3cret@127.0.0.1:66a/0",
        "http://worker:s3cret@127.0.0.1/0",
    ]

    for address in addresses:
        with pytest.raises((BadStore, BadRequest)) as refusal:
            RedisStore(address)

        error: BaseException | None = refusal.value
        assert "\n" not in str(error)
        while error is not None:
            assert "s3cret" not in str(error)
            error = None if error.__suppress_context__ and not error.__cause__ else error.__cause__ or error.__context__


def test_a_frozen_server_is_unavailable_soon_and_the_commit_it_read_is_not_applied_twice(own: OwnRedis) -> None:
    harness, log = RedisHarness(own.folder, own), [an_opening(), a_point(1), a_gap(2)]
    store = harness.open()
    lease = store.take(LOG, 0)
    commit(store, lease, log[:1])
    own.freeze()

    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        commit(store, lease, log[1:], begin=1)
    waited = time.monotonic() - begun
    own.thaw()

    assert waited < 3
    while harness.position(LOG, 0) == 1:  # what lay in the socket is carried out, though nobody waits any more
        time.sleep(0.01)
    assert commit(store, lease, log[1:], begin=1) is Outcome.STALE
    assert store.take(LOG, 0).next_offset == len(log)
    assert harness.contents() == fold(log)
    store.close()


def test_a_server_that_is_gone_is_unavailable_and_found_again(own: OwnRedis) -> None:
    harness = RedisHarness(own.folder, own)
    store = harness.open()
    lease = store.take(LOG, 0)
    own.kill()

    with pytest.raises(StoreUnavailable, match=r"redis\.sock\?db=0: Redis does not answer"):
        commit(store, lease, THE_LOG)
    own.start()  # it keeps nothing: the store is new

    assert commit(store, lease, THE_LOG) is Outcome.FENCED
    assert commit(store, store.take(LOG, 0), THE_LOG) is Outcome.APPLIED
    store.close()


def test_a_killed_server_comes_back_with_a_prefix_and_the_replay_heals_it(tmp_path: Path) -> None:
    server = OwnRedis(tmp_path, appendonly="yes", appendfsync="no")
    harness = RedisHarness(tmp_path, server)
    log = [an_opening(keeps_pictures=True), *(_an_entry(i) for i in range(1, 4000))]
    rng = np.random.default_rng()
    rolled_back = 0
    for _ in range(5):
        acknowledged = _until_killed(server, harness, log, rng.uniform(0.02, 0.15))
        _cut_tail(tmp_path, int(rng.integers(0, 4000)))  # what the disk had not yet
        server.start()
        position = harness.position(LOG, 0)
        rolled_back += max(0, acknowledged - position)

        assert harness.contents() == fold(log[:position])

    store = harness.open()
    at = store.take(LOG, 0)
    assert commit(store, at, log[at.next_offset :], begin=at.next_offset) is Outcome.APPLIED
    assert harness.contents() == fold(log)
    assert rolled_back > 0
    store.close()
    server.kill()


def _an_entry(n: int) -> Entry:
    if n % 250 == 0:
        return an_erasure(f"p{n // 500}")
    picture = bytes(300) if n % 40 == 1 else None
    return a_point(n, f"p{n // 500}", quality=n % 19 / 20, picture=picture) if n % 97 else a_gap(n)


def _until_killed(server: OwnRedis, harness: RedisHarness, log: Sequence[Entry], after_s: float) -> int:
    """The last position acknowledged when the server was killed in the middle of its work."""
    store = harness.open()
    lease = store.take(LOG, 0)
    at = lease.next_offset
    timer = threading.Timer(after_s, server.kill)
    timer.start()
    try:
        while at < len(log):
            part = log[at : at + 7]
            assert commit(store, lease, part, begin=at) is Outcome.APPLIED
            at += len(part)
    except StoreUnavailable:
        pass
    timer.join()
    store.close()
    return at


def _cut_tail(folder: Path, size: int) -> None:
    (file,) = (folder / "appendonlydir").glob("*.incr.aof")
    body = file.read_bytes()
    file.write_bytes(body[: max(0, len(body) - size)])


@pytest.mark.parametrize("too_much", [False, True])
def test_an_erasure_by_an_index_that_has_changed_since_it_was_read_is_made_again(
    store: RedisStore, harness: RedisHarness, lease: Lease, monkeypatch: pytest.MonkeyPatch, too_much: bool
) -> None:
    log = [an_opening(), a_point(1), a_point(2, event_time=600_000_000), a_point(3, "bob"), an_erasure("ann")]
    commit(store, lease, log[:-1])
    members = [f"0:{SCHEMA.id}"] + ([f"10:{SCHEMA.id}", f"11:{SCHEMA.id}"] if too_much else [])
    read, reads = RedisStore._indexed, [{"ann": Indexed("cam", members)}]

    def late(self: RedisStore, *of: object) -> object:
        return reads.pop() if reads else read(self, *of)  # type: ignore[arg-type]

    monkeypatch.setattr(RedisStore, "_indexed", late)
    assert commit(store, lease, log[-1:], begin=4) is Outcome.APPLIED

    assert reads == []
    assert harness.contents() == fold(log)
    assert not [key for key in harness.client.scan_iter() if b"ann" in key]


def test_a_flawed_batch_says_where_it_stands_first(store: RedisStore, lease: Lease) -> None:
    flawed = [with_face(a_point(1), event_time=None)]

    assert commit(store, lease, flawed) is Outcome.REFUSED
    assert commit(store, lease, flawed, begin=3) is Outcome.STALE
    assert commit(store, Lease(lease.epoch - 1, 0), flawed) is Outcome.FENCED
