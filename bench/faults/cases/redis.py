"""Rows 16 to 21: the store fails."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis

from bench.faults import disk
from bench.faults.arena import Arena
from bench.faults.facts import RunFailed
from bench.faults.relay import Relay
from bench.faults.report import Run
from bench.faults.setting import Case, Setting
from contract.keys import Keys
from contract.topics import PARTITIONS
from mien.stack import Stack

MIB = 32
BACK_S = 10.0  # within which the workers have to be back


def frozen(setting: Setting, case: Case) -> Run:
    """Redis does not answer, then goes on."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        server = arena.stack.processes["redis"]
        began = time.monotonic()
        server.stop()
        stands_still(arena, setting.seconds(9, 60))
        server.cont()
        return back(arena, case, began)


def killed(setting: Setting, case: Case) -> Run:
    """Redis dies and starts again from its append-only file."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        server = arena.stack.processes["redis"]
        time.sleep(setting.chance.uniform(0, 1))
        began = time.monotonic()
        server.kill()
        time.sleep(setting.seconds(2, 60))
        server.start()
        return back(arena, case, began)


def out_of_memory(setting: Setting, case: Case) -> Run:
    """Redis has no more memory to give, then has."""
    with setting.arena() as arena:
        arena.flow()
        server = arena.server()
        time.sleep(setting.chance.uniform(0, 1))
        began = time.monotonic()
        server.config_set("maxmemory", 1)
        try:
            stands_still(arena, setting.seconds(4, 60))
        finally:
            server.config_set("maxmemory", 0)
        return back(arena, case, began)


def disk_full(setting: Setting, case: Case) -> Run:
    """Redis cannot append to its file any more, then can."""
    stack = setting.stacks.of()
    server = stack.processes["redis"]
    command, small = server.command, setting.folder / "disk"
    small.mkdir(parents=True)
    server.kill()
    server.command = disk.on_small_disk([*command, "--dir", str(small)], small, MIB)
    try:
        server.start()
        with setting.arena(stack) as arena:
            arena.flow()
            began = time.monotonic()
            disk.fill(server, small)
            arena.wait(lambda: refuses(arena), 20, "refusal by Redis with a full disk")
            stands_still(arena, setting.seconds(4, 60))
            disk.free(server, small)
            return back(arena, case, began)
    finally:
        server.kill()
        server.command = command
        server.start()


def functions_flushed(setting: Setting, case: Case) -> Run:
    """The commit function is gone."""
    with setting.arena() as arena:
        arena.flow()
        time.sleep(setting.chance.uniform(0, 1))
        began = time.monotonic()
        server: Any = arena.server()
        server.execute_command("FUNCTION", "FLUSH", "SYNC")
        server.execute_command("SCRIPT", "FLUSH", "SYNC")
        return back(arena, case, began, within_s=5.0)


def failover(setting: Setting, case: Case) -> Run:
    """The primary dies while its replica has not heard the last second; the replica takes over."""
    stack = setting.stacks.of(replica=True)
    with (
        two_relays(stack, setting.seed) as (workers_way, replica_way),
        setting.arena(stack, redis_url=f"redis://{workers_way.address}/0") as arena,
    ):
        arena.flow(workers=2)
        replica_way.faults.pause = {"up", "down"}
        time.sleep(setting.chance.uniform(0.5, 2.0))
        before = list(arena.watch.positions)
        began = time.monotonic()
        stack.processes["redis"].kill()
        promote(arena, stack, workers_way, replica_way)
        note_rollback(arena, before)
        return back(arena, case, began)


def split_brain(setting: Setting, case: Case) -> Run:
    """A worker goes on with the old primary, cut off from the replica that has become the primary elsewhere."""
    stack = setting.stacks.of(replica=True, min_replicas=1)
    with (
        two_relays(stack, setting.seed) as (workers_way, replica_way),
        setting.arena(stack, redis_url=f"redis://{workers_way.address}/0") as arena,
    ):
        arena.flow(workers=1)
        began = time.monotonic()
        replica_way.faults.pause = {"up", "down"}  # the primary finds out by the replica's silence
        still = arena.wait(lambda: is_still(arena, 2.0), 15, "end of writes to the old primary")
        arena.facts.notes.append(f"the old primary took writes for {still - 2.0:.1f} s more")
        before = list(arena.watch.positions)
        arena.work(redis_url=stack.replica_url)  # the other side already talks to the new one
        promote(arena, stack, workers_way, replica_way, reset=False)
        time.sleep(setting.seconds(6, 30))
        workers_way.target = address(stack, "redis-replica")
        workers_way.reset()
        note_rollback(arena, before)
        return back(arena, case, began)


def back(arena: Arena, case: Case, began: float, within_s: float = BACK_S) -> Run:
    """The fault is over now: the rest of the run, with the pass marks that all of these rows share."""
    since = time.monotonic()
    arena.recovered(since, within_s)
    arena.drained(since, began)
    arena.expect_no_eviction()
    return arena.finish(case.name)


def stands_still(arena: Arena, seconds: float) -> None:
    """Let the fault last; in its second half nothing may be written, at its end every worker has to be unready.

    Raises:
        RunFailed: something was written.
    """
    idle = [(child, child.cpu_s()) for child in arena.workers]
    time.sleep(seconds / 2)
    before = list(arena.watch.positions)
    time.sleep(seconds / 2)
    arena.expect_unready()
    arena.expect_idle(idle, seconds)
    if arena.watch.positions != before:
        raise RunFailed(f"the store moved from {before} to {arena.watch.positions} during the fault")


def is_still(arena: Arena, seconds: float) -> bool:
    """Has nothing been written for so long?"""
    return time.monotonic() - max(rises[-1][0] for rises in arena.watch.rises) > seconds


def refuses(arena: Arena) -> bool:
    """Does Redis refuse writes?"""
    try:
        arena.server().set("faults:probe", 1, px=1000)
    except redis.ResponseError:
        return True
    return False


@contextlib.contextmanager
def two_relays(stack: Stack, seed: int) -> Iterator[tuple[Relay, Relay]]:
    """The workers' way to the primary and the replica's; afterwards the primary is the primary again."""
    host, port = address(stack, "redis")
    primary, replica = redis.Redis.from_url(stack.redis_url), redis.Redis.from_url(stack.replica_url)
    with Relay(host, port, seed) as workers_way, Relay(host, port, seed + 1) as replica_way:
        try:
            follow(replica, host, replica_way.port)
            wait_for(lambda: primary.info("replication")["connected_slaves"] == 1, "primary with one replica")
            yield workers_way, replica_way
        finally:
            stack.processes["redis"].start()
            follow(replica, host, port)


def follow(replica: Any, host: str, port: int) -> None:
    """Make it a replica of whoever listens there, and wait until it is in touch."""
    replica.execute_command("REPLICAOF", host, port)

    def in_touch() -> bool:
        found = replica.info("replication")
        return bool(found.get("master_port") == port and found.get("master_link_status") == "up")

    wait_for(in_touch, "replica in touch")


def promote(arena: Arena, stack: Stack, workers_way: Relay, replica_way: Relay, reset: bool = True) -> None:
    """The replica forgets its primary, with what was on its way; the workers are sent to it."""
    replica_way.reset()
    replica: Any = redis.Redis.from_url(stack.replica_url)
    replica.execute_command("REPLICAOF", "NO", "ONE")
    arena.watch.redis_url = stack.replica_url
    if reset:
        workers_way.target = address(stack, "redis-replica")
        workers_way.reset()


def note_rollback(arena: Arena, before: Sequence[int]) -> None:
    """How many records the new primary has not heard of; a fault that took nothing back shows nothing."""
    server = redis.Redis.from_url(arena.watch.redis_url)
    after = [int(server.hget(Keys(number).position, "next_offset") or 0) for number in range(PARTITIONS)]
    back = sum(max(0, old - new) for old, new in zip(before, after, strict=True))
    arena.facts.notes.append(f"{back} records rolled back")
    arena.expect(back > 0, "nothing was rolled back, so nothing was tried")


def address(stack: Stack, name: str) -> tuple[str, int]:
    """Host and port of a server."""
    return stack.processes[name].host, stack.processes[name].port


def wait_for(so: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Return when it is so; RunFailed when it was not in time."""
    end = time.monotonic() + timeout_s
    while not so():
        if time.monotonic() > end:
            raise RunFailed(f"no {what} within {timeout_s:.0f} s")
        time.sleep(0.02)


CASES = (
    Case(16, "Redis frozen", frozen, quick=True),
    Case(16, "Redis killed and restarted", killed),
    Case(17, "failover to a replica that is behind", failover, quick=True, servers="2 a replica"),
    Case(18, "split brain", split_brain, servers="3 a quorum"),
    Case(19, "Redis out of memory", out_of_memory),
    Case(20, "Redis' disk full", disk_full),
    Case(21, "functions flushed", functions_flushed),
)
