"""Rows 12 to 15, 22 to 24 and 34: workers die, freeze, come and go, or their engine does."""

import itertools
import signal
import time

from bench.faults.arena import Arena
from bench.faults.facts import RunFailed
from bench.faults.report import Run
from bench.faults.setting import Case, Setting
from bench.faults.stages import STAGES

MARGIN_S = 5.0  # beyond the session timeout
SLOW_S = 0.01  # per face: 100 faces/s at most, 240 come


def rebalance(setting: Setting, case: Case) -> Run:
    """A second worker comes and goes, by SIGTERM and by SIGKILL in turn, while batches are on their way."""
    with setting.arena() as arena:
        arena.flow()
        began = time.monotonic()
        for turn in itertools.count():
            second = arena.work()
            time.sleep(setting.chance.uniform(2, 5))
            second.kill() if turn % 2 else second.end()
            time.sleep(setting.chance.uniform(0, 1))
            if time.monotonic() - began > setting.seconds(8, 300):
                break
        since = time.monotonic()
        arena.recovered(since, arena.session_s + 20)
        arena.facts.notes.append(f"longest pause of a partition {arena.watch.longest_pause(began):.1f} s")
        arena.drained(since, began)
        return arena.finish(case.name)


def killed(setting: Setting, case: Case) -> Run:
    """A worker is killed before, while or after its commit is applied; another one goes on."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        victim, stage = arena.workers[0], STAGES[setting.seed % len(STAGES)]
        began = time.monotonic()
        victim.tell(stage=stage, at_commit=setting.chance.randrange(1, 20), signal=signal.SIGKILL)
        if victim.wait(20) is None:
            raise RunFailed(f"the worker is still alive; {victim.tail()}")
        arena.facts.notes.append(f"{stage} the commit")
        return taken_over(arena, case, began, time.monotonic())


def zombie(setting: Setting, case: Case) -> Run:
    """A worker freezes before its commit, is given up, and goes on with that very commit."""
    with setting.arena() as arena:
        arena.flow(workers=2)
        victim = arena.workers[0]
        began = time.monotonic()
        victim.tell(stage="before", at_commit=setting.chance.randrange(1, 20), signal=signal.SIGSTOP)
        arena.wait(victim.is_stopped, 20, "frozen worker")
        froze = time.monotonic()
        arena.recovered(froze, arena.session_s + MARGIN_S)
        time.sleep(max(0.0, froze + setting.seconds(arena.session_s + 4, 60) - time.monotonic()))
        victim.cont()
        time.sleep(3.0)
        refused = arena.metrics(victim)
        if not refused.fenced + refused.stale:
            arena.facts.flaws.append("the zombie's commit was never refused")
        arena.drained(froze, began)
        return arena.finish(case.name)


def slow_engine(setting: Setting, case: Case) -> Run:
    """The engine takes ten times as long; files wait in the log."""
    with setting.arena() as arena:
        arena.flow()
        began = time.monotonic()
        arena.workers[0].tell(sleep_s=SLOW_S)
        time.sleep(setting.seconds(8, 60))
        arena.facts.notes.append(f"lag {arena.watch.lag}")
        arena.workers[0].tell()
        since = time.monotonic()
        arena.recovered(since, 20)
        arena.drained(since, began)
        arena.expect_no_eviction()
        return arena.finish(case.name)


def slow_engine_live(setting: Setting, case: Case) -> Run:
    """The engine takes ten times as long; live faces that grow too old are passed over, and the timeline says so."""
    live = {"live": True, "stale_s": 2.0}
    with setting.arena(plan=setting.live(), producer=live) as arena:
        arena.flow()
        began = time.monotonic()
        arena.workers[0].tell(sleep_s=SLOW_S)
        time.sleep(setting.seconds(10, 60))
        arena.workers[0].tell()
        since = time.monotonic()
        arena.recovered(since, 20)
        arena.drained(since, began)
        arena.expect_no_eviction()
        run = arena.finish(case.name)
        return case.unless(run, run.shed > 0 and run.shed == run.marked, f"{run.shed} shed, {run.marked} marked")


def engine_fails(setting: Setting, case: Case) -> Run:
    """The processor gives up in the middle of a batch; the worker ends, and is started again."""
    with setting.arena() as arena:
        arena.flow()
        return restarted(arena, case, engine_fails=True, within_s=10.0)


def engine_hangs(setting: Setting, case: Case) -> Run:
    """The engine never answers again; the worker ends, and is started again."""
    with setting.arena(worker={"inference_timeout_s": 3.0}) as arena:
        arena.flow()
        return restarted(arena, case, hang=True, within_s=20.0)


def some_poison(setting: Setting, case: Case) -> Run:
    """One face in a hundred cannot be read: cut pictures, no pictures, pictures that the engine cannot bear."""
    with setting.arena(producer={"poison": 0.01}) as arena:
        arena.flow()
        time.sleep(setting.seconds(4, 60))
        run = arena.finish(case.name)
        injected = sum(len(report.poison) for report in arena.reports)
        told = arena.rejections()
        fits = run.rejected == run.marked == injected == len(told)
        return case.unless(
            run, fits, f"{injected} injected, {run.rejected} rejected, {run.marked} marked, {len(told)} told"
        )


def all_poison(setting: Setting, case: Case) -> Run:
    """Nothing can be read any more: the worker stops instead of draining the topic, and goes on when it is well."""
    with setting.arena() as arena:
        arena.flow()
        worker = arena.workers[0]
        worker.tell(poison=True)
        if not worker.wait(30):
            raise RunFailed(f"the worker drains the topic; exit code {worker.exit_code}; {worker.tail()}")
        left = arena.watch.lag
        arena.facts.notes.append(f"stopped with exit code {worker.exit_code} at a lag of {left}")
        rejected = arena.stored().skipped["rejected"]
        if rejected > 200:
            arena.facts.flaws.append(f"{rejected} rejected before it stopped, wanted at most 200")
        began = time.monotonic()
        arena.start(worker)
        arena.recovered(began, 30)
        return arena.finish(case.name)


def restarted(arena: Arena, case: Case, *, within_s: float, **told: bool) -> Run:
    """The worker ends by itself and is started again; it has to say by its exit code that something is wrong."""
    worker = arena.workers[0]
    began = time.monotonic()
    worker.tell(**told)
    if not worker.wait(20):
        raise RunFailed(f"the worker did not end, or as if all were well ({worker.exit_code}); {worker.tail()}")
    arena.facts.notes.append(f"exit code {worker.exit_code} after {time.monotonic() - began:.1f} s")
    arena.start(worker)
    arena.recovered(time.monotonic(), within_s)
    arena.drained(began, began)
    return arena.finish(case.name)


def taken_over(arena: Arena, case: Case, began: float, died: float) -> Run:
    """Another worker goes on within the session timeout and a little."""
    arena.recovered(died, arena.session_s + MARGIN_S)
    arena.drained(died, began)
    return arena.finish(case.name)


CASES = (
    Case(12, "workers come and go", rebalance, quick=True),
    Case(14, "worker killed", killed, quick=True),
    Case(15, "zombie worker", zombie, quick=True),
    Case(22, "engine ten times slower, files", slow_engine),
    Case(22, "engine ten times slower, live", slow_engine_live),
    Case(23, "engine fails", engine_fails),
    Case(23, "engine hangs", engine_hangs),
    Case(24, "1 % poison", some_poison, quick=True),
    Case(24, "100 % poison", all_poison, quick=True),
)
