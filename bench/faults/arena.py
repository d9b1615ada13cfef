"""One run: a topic and an empty Redis, producers, workers, and somebody who watches."""

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import redis

from bench.faults.child import Child
from bench.faults.facts import Facts, RunFailed, judged_run
from bench.faults.kafka import create_run_topics, delete_topic, read_all
from bench.faults.metrics import Metrics, metrics_at, page_at, sample, sum_of
from bench.faults.oracle import Said, Stored, judge, stored
from bench.faults.producer_process import Report
from bench.faults.report import Run
from bench.faults.source import Plan, one_source_per_partition
from bench.faults.watch import Watch
from contract.topics import PARTITIONS
from mien.stack import Stack
from mien.stack.ports import free_port

FLOW_S = 40.0  # for the first commits on every partition
PATIENCE_S = 90.0  # for the rest of the log to be read
BOUND_MIB = 512  # of a worker or a producer
IDLE = 0.3  # of a core, while there is nothing to do but wait
LEVEL = 50  # records of lag that are none: what is on its way at any moment


class Arena:
    """A context manager; nothing of it outlives the block but what lies in the topic and the store.

    Args:
        stack: servers that are up; the store is emptied.
        folder: of this run alone; its name is part of the topic's.
        session_s: after which the group gives a silent worker up.
        redis_url, bootstrap: what the workers use, where it is not the stack's own.
        worker, producer: settings of every one of them, beyond the usual.
    """

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        *,
        seed: int,
        session_s: float = 10.0,
        plan: Plan | None = None,
        redis_url: str = "",
        bootstrap: str = "",
        worker: Mapping[str, Any] | None = None,
        producer: Mapping[str, Any] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.stack = stack
        self.seed = seed
        name = f"{folder.name}.{uuid.uuid4().hex[:6]}"  # a stack may outlive many runs
        self.topic, self.rejected_topic, self.group = f"faults.{name}", f"rejected.{name}", f"mien-workers.{name}"
        self.plan = plan or Plan(one_source_per_partition())
        self.session_s = session_s
        self.facts = Facts()
        self.workers: list[Child] = []
        self.producers: list[Child] = []
        self.reports: list[Report] = []  # of the producers that have ended
        self.said: list[Said] = []
        self.watch = Watch(stack.redis_url, stack.bootstrap, self.topic, self.group, PARTITIONS)
        self._folder = folder
        self._redis_url = redis_url or stack.redis_url
        self._bootstrap = bootstrap or stack.bootstrap
        self._settings = {"worker": dict(worker or {}), "producer": dict(producer or {})}
        self._ports: dict[str, int] = {}
        self._seen: dict[int, Metrics] = {}  # by process
        self._starts = 0
        self._recovered_at = 0.0
        self._begun = time.monotonic()

    def __enter__(self) -> "Arena":
        self.create_topic()
        self.server().flushall()
        self.watch.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is RunFailed:
            for child in self.workers:
                child.show_stacks()
            time.sleep(0.2)
        for child in (*self.producers, *self.workers):
            child.kill()
        self.watch.__exit__()

    def server(self) -> "redis.Redis":
        """A client of the store that is judged, past any relay."""
        return redis.Redis.from_url(self.watch.redis_url, socket_timeout=5)

    def create_topic(self) -> None:
        """The run's own topics of faces and of what is rejected."""
        create_run_topics(self.stack.bootstrap, self.topic, self.rejected_topic, self.stack.shape.brokers)

    def replace_topic(self) -> None:
        """Delete the topic of faces, and make one of the same name."""
        delete_topic(self.stack.bootstrap, self.topic)
        self.create_topic()

    def produce(self, plan: Plan | None = None, **settings: Any) -> Child:
        """Start a producer; it says what the run's plan says unless given another."""
        name = f"producer-{len(self.reports) + len(self.producers)}"
        usual = {"bootstrap": self.stack.bootstrap, "topic": self.topic, "plan": plan or self.plan, "seed": self.seed}
        own = {"report": str(self._folder / f"{name}.report.json"), **self._settings["producer"], **settings}
        child = Child(name, "bench.faults.producer_process", self._folder, {**usual, **own}).start()
        self.producers.append(child)
        self.watch.children.append(child)
        return child

    def work(self, **settings: Any) -> Child:
        """Start one more worker."""
        name = f"worker-{len(self.workers)}"
        self._ports[name] = free_port(self._ports.values())
        usual = {"bootstrap": self._bootstrap, "redis": self._redis_url, "topic": self.topic, "group": self.group}
        own: dict[str, Any] = {
            "session_s": self.session_s,
            "health_port": self._ports[name],
            "rejected": self.rejected_topic,
        }
        wanted = {**usual, **own, **self._settings["worker"], **settings}
        child = Child(name, "bench.faults.worker_process", self._folder, wanted)
        self.workers.append(child)
        self.watch.children.append(child)
        return self.start(child)

    def start(self, child: Child) -> Child:
        """Start a worker (again)."""
        self._starts += 1
        return child.start()

    def flow(self, workers: int = 1) -> None:
        """Start a producer and workers; return when every partition has been committed to twice.

        Raises:
            RunFailed: it does not come to that.
        """
        self.produce()
        for _ in range(workers):
            self.work()
        self.wait(lambda: all(len(rises) > 2 for rises in self.watch.rises), FLOW_S, "commits on every partition")
        self.wait(lambda: len(self.watch.members) >= workers, FLOW_S, "workers in the group")
        self.wait(lambda: self.watch.lag <= LEVEL, FLOW_S, "reading up to the end")

    def wait(self, so: Callable[[], object], timeout_s: float, what: str) -> float:
        """Seconds until something is so.

        Raises:
            RunFailed: it was not in time.
        """
        begun = time.monotonic()
        while not so():
            if time.monotonic() - begun > timeout_s:
                words = "; ".join(f"{child.name} ({child.exit_code}): {child.tail(3)}" for child in self.workers)
                raise RunFailed(f"no {what} within {timeout_s:.0f} s; lag {self.watch.lag}; {words}")
            time.sleep(0.01)
        return time.monotonic() - begun

    def recovered(self, since: float, within_s: float, partitions: Sequence[int] = range(PARTITIONS)) -> float:
        """Seconds from `since` (monotonic) to the first new commit on every one of these partitions; kept as a fact."""
        wait_s = 3 * within_s + 15
        self.wait(lambda: self.watch.first_rise_after(since, partitions), wait_s, "new commits on every partition")
        rise = self.watch.first_rise_after(since, partitions) or since
        self.facts.recovery_s = max(self.facts.recovery_s or 0.0, rise - since)
        self._recovered_at = rise
        self.expect(rise - since <= within_s, f"back after {rise - since:.1f} s, wanted {within_s:g}")
        return rise - since

    def drained(self, since: float, fault_began: float) -> None:
        """Wait until the lag is what it was before the fault; how long that took after `since` is kept as a fact."""
        level = max(self.watch.lag_between(fault_began - 1.5, fault_began), LEVEL)
        begun = max(since, self._recovered_at)  # at the end of a short fault the lag has not grown yet
        self.wait(lambda: self.watch.drained_after(begun, level), PATIENCE_S, f"lag of {level} again")
        self.facts.drain_s = (self.watch.drained_after(begun, level) or begun) - since

    def end_producers(self) -> None:
        """Have the producers close their sessions, and note what they have said.

        Raises:
            RunFailed: one has not ended well.
        """
        while self.producers:
            producer = self.producers.pop()
            code = producer.end(PATIENCE_S)
            path = self._folder / f"{producer.name}.report.json"
            if code or not path.exists():
                raise RunFailed(f"{producer.name} ended with {code}; {producer.tail()}")
            report = msgspec.json.decode(path.read_bytes(), type=Report)
            plan = replace(producer.settings["plan"], start_us=report.start_us)
            self.reports.append(report)
            self.said.append(Said(plan, report.frames, frozenset([*report.poison, *report.oversize])))

    def read_all(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the store has followed the log to its end; where it does not, that is a flaw."""
        ends = self.watch.ends_now()
        try:
            self.wait(lambda: self.watch.positions == ends, patience_s, f"end of the log, {sum(ends)} records")
        except RunFailed as error:
            self.facts.flaws.append(str(error))

    def finish(self, fault: tuple[int, str]) -> Run:
        """End the producers, let the workers read the rest, end them, and judge what is stored."""
        self.end_producers()
        self.read_all()
        self.count()
        for child in self.watch.children:
            self.expect(child.peak_mib < BOUND_MIB, f"{child.name} took {child.peak_mib:.0f} MiB")
        for child in self.workers:
            child.measure()
            code = child.end() if child.exit_code is None else 0
            self.expect(code == 0, f"{child.name} was asked to end and ended with {code}; {child.tail()}")
        return self.judged(fault)

    def judged(self, fault: tuple[int, str]) -> Run:
        """The run as a line of the report: what the store holds against what was published."""
        found = self.stored()
        verdict = judge(found, self.said)
        total = sum_of(self._seen.values())
        run = Run(
            row=fault[0],
            fault=fault[1],
            seed=self.seed,
            produced=sum(len(each.expected) for each in self.said),
            fenced=total.fenced,
            stale=total.stale,
            rejected=found.skipped["rejected"],
            shed=found.skipped["shed"],
            peak_rss_mib=round(max((child.peak_mib for child in self.workers), default=0.0), 1),
            run_s=round(time.monotonic() - self._begun, 1),
        )
        return judged_run(run, verdict, self.facts)

    def stored(self) -> Stored:
        """What the store holds now."""
        return stored(self.server(), range(PARTITIONS))

    def count(self) -> None:
        """Note what every running worker says of itself; done before each fault that ends one."""
        for child in self.workers:
            if child.exit_code is None and not child.is_stopped():
                with contextlib.suppress(OSError):
                    self._seen[child.pid] = metrics_at(self._ports[child.name])

    def metrics(self, child: Child) -> Metrics:
        """What a worker says of itself now; OSError where it does not answer."""
        return metrics_at(self._ports[child.name])

    def counter(self, child: Child, name: str) -> float:
        """One of a worker's counters now; OSError where it does not answer."""
        return sample(page_at(self._ports[child.name], "/metrics")[1], name)

    def revive(self) -> None:
        """Start every worker again that has ended."""
        for child in self.workers:
            if child.exit_code is not None:
                self.start(child)

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return self._starts - len(self.workers)

    def is_ready(self, child: Child) -> bool:
        """Does it say so?"""
        try:
            return page_at(self._ports[child.name], "/readyz")[0] == 200
        except OSError:
            return False

    def expect(self, so: bool, otherwise: str) -> None:
        """Note a flaw unless it is so."""
        self.facts.expect(so, otherwise)

    def expect_unready(self) -> None:
        """Every running worker has to say that it is not ready."""
        ready = [child.name for child in self.workers if self.is_ready(child)]
        self.expect(not ready, f"{', '.join(ready)} says that it is ready during the fault")

    def expect_idle(self, before: Sequence[tuple[Child, float]], seconds: float) -> None:
        """While nothing can be done nobody may keep a core busy; what was taken is noted."""
        busiest = max((child.cpu_s() - cpu_s) / seconds for child, cpu_s in before)
        self.facts.notes.append(f"waiting took {busiest:.0%} of a core")
        self.expect(busiest < IDLE, f"a waiting worker took {busiest:.0%} of a core, wanted less than {IDLE:.0%}")

    def expect_no_eviction(self) -> None:
        """The group has put no worker out: one that was comes back under another member id."""
        beyond = len(self.watch.members) - self._starts
        self.expect(beyond <= 0, f"{beyond} workers were put out of the group, wanted none")

    def rejections(self) -> list[bytes]:
        """What the rejected topic holds of this run."""
        return read_all(self.stack.bootstrap, self.rejected_topic)
