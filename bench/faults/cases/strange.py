"""Rows 25, 27, 33 and 34: what is strange but no server's or worker's death."""

import time
from dataclasses import replace

from bench.faults.cases.redis import note_rollback, promote, two_relays
from bench.faults.report import Run
from bench.faults.setting import Case, Setting
from bench.faults.source import source_name
from contract.topics import PARTITIONS, partition_of

HOUR_S = 3600


def oversize(setting: Setting, case: Case) -> Run:
    """Pictures of 2 MB: the producer refuses and counts them, nothing is stuck behind them."""
    with setting.arena(producer={"oversize_every": 7}) as arena:
        arena.flow()
        time.sleep(setting.seconds(3, 30))
        run = arena.finish(case.name)
        sent = sum(len(report.oversize) for report in arena.reports)
        refused = sum(report.refused for report in arena.reports)
        return case.unless(run, 0 < sent == refused, f"{sent} sent, {refused} refused")


def clock_steps(setting: Setting, case: Case) -> Run:
    """The worker's wall clock jumps an hour ahead, then an hour back."""
    with setting.arena(plan=setting.live(), producer={"live": True, "stale_s": 60.0}) as arena:
        arena.flow()
        began = time.monotonic()
        for step_s in (HOUR_S, -HOUR_S, 0):
            arena.workers[0].tell(clock_s=step_s)
            time.sleep(setting.seconds(3, 20))
        arena.recovered(time.monotonic(), 5)
        arena.drained(time.monotonic(), began)
        arena.expect_no_eviction()
        run = arena.finish(case.name)
        return case.unless(run, not run.shed and not run.marked, f"{run.shed} shed because of a clock")


def newer_wire(setting: Setting, case: Case) -> Run:
    """Records of a newer minor version are read; those of a newer major one wait for a worker that knows it."""
    with setting.arena(producer={"minor": 1}) as arena:
        arena.flow()
        arena.end_producers()
        few = arena.plan.sources[:3]
        arena.produce(replace(arena.plan, sources=few, session=1), minor=0, major=2, frames=30)
        time.sleep(4)
        arena.produce(replace(arena.plan, session=2), minor=0)
        arena.wait(lambda: not arena.is_ready(arena.workers[0]), 20, "word of parked partitions")
        parked = {partition_of(source_name(source), PARTITIONS) for source in few}
        others = [number for number in range(PARTITIONS) if number not in parked]
        arena.recovered(time.monotonic(), 5, others)
        arena.end_producers()
        ends = arena.watch.ends_now()
        arena.wait(
            lambda: all(arena.watch.positions[each] == ends[each] for each in others), 20, "other partitions read"
        )
        waits = sum(ends[number] - arena.watch.positions[number] for number in parked)
        arena.facts.notes.append(f"{waits} records waited in {len(parked)} parked partitions")
        arena.expect(all(arena.watch.positions[number] < ends[number] for number in parked), "v2 was not parked")
        arena.expect(not arena.stored().skipped["rejected"], "v2 was rejected")
        arena.workers[0].end()
        began = time.monotonic()
        arena.work(reads_major=2)
        arena.recovered(began, 20, sorted(parked))
        return arena.finish(case.name)


def new_model(setting: Setting, case: Case) -> Run:
    """A failover takes readings back; they are made again by a worker with another model."""
    stack = setting.stacks.of(replica=True)
    with (
        two_relays(stack, setting.seed) as (workers_way, replica_way),
        setting.arena(stack, redis_url=f"redis://{workers_way.address}/0") as arena,
    ):
        arena.flow()
        replica_way.faults.pause = {"up", "down"}
        time.sleep(setting.chance.uniform(1.0, 2.0))
        before = list(arena.watch.positions)
        began = time.monotonic()
        stack.processes["redis"].kill()
        old = arena.workers[0]
        old.kill() if setting.seed % 2 else old.stop()  # in half of the runs the old model comes back as a zombie
        arena.work(model=2)
        promote(arena, stack, workers_way, replica_way)
        note_rollback(arena, before)
        arena.recovered(time.monotonic(), arena.session_s + 5)
        old.cont()
        time.sleep(setting.seconds(3, 20))
        arena.drained(began, began)
        models = arena.stored().models
        arena.facts.notes.append(f"points by model: {dict(models)}")
        arena.expect(len(models) == 2, f"points by model {dict(models)}, wanted both")
        return arena.finish(case.name)


CASES = (
    Case(25, "pictures of 2 MB", oversize),
    Case(27, "wall clock steps by ±1 h", clock_steps),
    Case(33, "records of newer versions", newer_wire),
    Case(34, "model changes during a replay", new_model, servers="2 a replica"),
)
