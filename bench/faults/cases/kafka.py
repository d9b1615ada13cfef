"""Rows 8 to 11, 13, 25 and 33: the broker fails, the topic changes under us, or what lies in it is strange."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.faults.arena import Arena
from bench.faults.facts import RunFailed
from bench.faults.kafka import delete_records
from bench.faults.oracle import Said
from bench.faults.report import Run
from bench.faults.setting import Case, Setting
from bench.faults.source import source_name
from contract.topics import PARTITIONS, partition_of

BACK_S = 15.0  # within which the workers have to be back


def frozen(setting: Setting, case: Case) -> Run:
    """The broker does not answer, then goes on; files wait."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        broker = arena.stack.processes["kafka-1"]
        began, outage_s = time.monotonic(), setting.seconds(9, 60)
        broker.stop()
        idle = [(child, child.cpu_s()) for child in arena.workers]
        time.sleep(outage_s)
        arena.expect_idle(idle, outage_s)
        broker.cont()
        return back(arena, case, began)


def frozen_live(setting: Setting, case: Case) -> Run:
    """The broker does not answer, then goes on; live sources drop what they cannot keep, and say so."""
    live = {"live": True, "budget": 64 << 10}
    with setting.arena(plan=setting.live(), producer=live) as arena:
        arena.flow(workers=2)
        broker = arena.stack.processes["kafka-1"]
        began = time.monotonic()
        broker.stop()
        time.sleep(setting.seconds(9, 60))
        broker.cont()
        run = back(arena, case, began)
        dropped = sum(report.dropped for report in arena.reports)
        return case.unless(run, 0 < dropped == run.marked, f"{dropped} dropped, {run.marked} marked")


def killed(setting: Setting, case: Case) -> Run:
    """The only broker dies and is away for a while."""
    return away(setting, case, setting.seconds(5, 60))


def restarted(setting: Setting, case: Case) -> Run:
    """The only broker dies and is started again at once."""
    return away(setting, case, 0.0)


def away(setting: Setting, case: Case, seconds: float) -> Run:
    """The only broker dies for so long."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        broker = arena.stack.processes["kafka-1"]
        time.sleep(setting.chance.uniform(0, 1))
        began = time.monotonic()
        broker.kill()
        time.sleep(seconds)
        broker.start()
        return back(arena, case, began)


def leader_killed(setting: Setting, case: Case) -> Run:
    """One of three brokers dies with the partitions it leads, and starts again."""
    stack = setting.stacks.of(brokers=3)
    with setting.arena(stack) as arena:
        arena.flow(workers=2)
        broker = stack.processes[f"kafka-{1 + setting.seed % 3}"]
        time.sleep(setting.chance.uniform(0, 1))
        began = time.monotonic()
        broker.kill()
        arena.recovered(began, 60)  # the others lead: nobody has to be started for that
        broker.start()
        arena.drained(began, began)
        return arena.finish(case.name)


def topic_replaced(setting: Setting, case: Case) -> Run:
    """The topic is deleted and made anew: nothing of the new one is read until an operator says so."""
    with setting.arena() as arena:
        arena.flow()
        arena.end_producers()
        arena.read_all()
        before = arena.stored()
        worker = arena.workers[0]
        arena.replace_topic()
        arena.produce(replace(arena.plan, session=1))
        arena.wait(lambda: worker.exit_code is not None or not arena.is_ready(worker), 90, "word of the worker")
        time.sleep(2)
        after = arena.stored()
        same = (after.next_offset, after.logs) == (before.next_offset, before.logs)
        arena.expect(same, f"the new topic was followed unasked: {after.next_offset} after {before.next_offset}")
        arena.facts.notes.append(f"exit code {worker.exit_code}: {worker.tail(1)[-200:]}")
        worker.end()
        again = arena.work()  # whoever runs us starts another one: it must refuse as well
        arena.expect(again.wait(60) not in (None, 0), f"a worker begun later follows the new topic: {again.tail()}")
        began = time.monotonic()
        arena.work(adopt_logs=True)
        arena.recovered(began, 30)
        return arena.finish(case.name)


def retention_passed(setting: Setting, case: Case) -> Run:
    """What the store has not seen is deleted from the log: the exact number is told, an operator lets it go on."""
    with setting.arena() as arena:
        arena.flow()
        arena.workers[0].kill()
        time.sleep(setting.chance.uniform(2, 4))
        positions, ends = list(arena.watch.positions), arena.watch.ends_now()
        cut = {number: setting.chance.randrange(positions[number] + 1, ends[number]) for number in (1, 4, 7)}
        delete_records(arena.stack.bootstrap, arena.topic, cut)
        gone = {number: begin - positions[number] for number, begin in cut.items()}
        blocked = arena.work()
        if blocked.wait(60) in (None, 0):
            raise RunFailed(f"the worker goes on ({blocked.exit_code}); {blocked.tail()}")
        told = {int(number) for number in re.findall(r"(\d+) records have expired", blocked.tail(30))}
        arena.expect(bool(told) and told <= set(gone.values()), f"{gone} gone, told {told}; {blocked.tail()}")
        began = time.monotonic()
        skipping = arena.work(on_expired="skip")
        arena.recovered(began, 30)
        arena.end_producers()
        arena.read_all()
        counted = int(arena.counter(skipping, "mien_worker_expired_total"))
        arena.expect(counted == sum(gone.values()), f"{sum(gone.values())} gone, {counted} counted")
        arena.facts.notes.append(f"{sum(gone.values())} records gone, {counted} counted")
        arena.said = [without(said, positions, cut) for said in arena.said]
        return arena.finish(case.name)


def without(said: Said, positions: Sequence[int], cut: Mapping[int, int]) -> Said:
    """What was said, less the faces between a partition's position and where its log was cut.

    One source on each partition, whose records are numbered from 0 on: the offset is the sequence.
    """
    gone = set()
    for numbers in said.expected:
        number = partition_of(source_name(numbers.source), PARTITIONS)
        if number in cut and positions[number] <= said.plan.sequence_of(numbers) < cut[number]:
            gone.add(numbers)
    return replace(said, gone=frozenset(gone))


def unfetched(setting: Setting, case: Case) -> Run:
    """The Kafka client keeps a partition and fetches nothing of it, without a word (kafka-python #3131)."""
    with setting.arena(worker={"progress_s": setting.seconds(6, 30)}) as arena:
        arena.flow()
        began = time.monotonic()
        arena.workers[0].tell(unfetched=True)
        time.sleep(2)
        arena.workers[0].tell()
        arena.recovered(began + 2, setting.seconds(21, 45) - 2)
        arena.drained(began, began)
        return arena.finish(case.name)


def back(arena: Arena, case: Case, began: float) -> Run:
    """The fault is over now."""
    since = time.monotonic()
    arena.recovered(since, BACK_S)
    arena.drained(since, began)
    return arena.finish(case.name)


CASES = (
    Case(8, "broker frozen, files", frozen),
    Case(8, "broker frozen, live", frozen_live),
    Case(8, "broker down and started again", killed),
    Case(9, "one of three brokers killed", leader_killed, servers="4 three brokers"),
    Case(9, "the only broker killed and restarted", restarted, quick=True),
    Case(10, "topic deleted and made anew", topic_replaced),
    Case(11, "retention passed the stored offset", retention_passed),
    Case(13, "partition held but not fetched", unfetched),
)
